#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/images: small files of every format, and beside each NAME the pixels that must come
out of it, NAME.ppm.

Needs the package pillow (13.0.0); the files are checked in, so that the tests do not.
"""

import io
import os
import struct
import zlib

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 21, 13


def picture(mode):
    """Slopes with some edges; every channel has its own."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    image = Image.new(mode, (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            values = [x * 12, y * 19, (x * y) % 256, 40 + 9 * x + 3 * y]
            if (x // 5 + y // 4) % 2:
                values[:3] = values[2::-1]
            image.putpixel((x, y), tuple(values[:channels]) if channels > 1 else values[0])
    return image


def of_16_bits():
    image = Image.new('I;16', (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            image.putpixel((x, y), (x * 3121 + y * 257) % 65536)
    return image


def palette_with_hole():
    image = picture('RGB').quantize(11)
    image.info['transparency'] = 3
    return image


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def interlaced():
    """A PNG of 16 bits a sample in seven passes, which Pillow reads and does not write."""
    data = b''
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
                                    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(top, HEIGHT, down):
            data += b'\0' + b''.join(struct.pack('>HHH', x * 3000, y * 5000, (x * y * 99) % 65536)
                                     for x in range(left, WIDTH, across))
    header = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 16, 2, 0, 0, 1)
    gamma = struct.pack('>I', 100000)  # which is left alone
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'gAMA', gamma) +
            chunk(b'IDAT', zlib.compress(data, 9)) + chunk(b'IEND', b''))


def files():
    """(name, picture, what `save` is told). The format goes by the name."""
    rgb, grey, bits = picture('RGB'), picture('L'), picture('L').convert('1')
    alpha, both = picture('RGBA'), picture('LA')
    yield 'usual.jpg', rgb, {'quality': 80}
    yield 'halved_across.jpg', rgb, {'quality': 90, 'subsampling': '4:2:2'}
    yield 'full.jpg', rgb, {'quality': 95, 'subsampling': '4:4:4', 'restart_marker_blocks': 1}
    yield 'progressive.jpg', rgb, {'quality': 75, 'progressive': True, 'optimize': True}
    yield 'grey.jpg', grey, {}
    yield 'inks.jpg', picture('CMYK'), {'quality': 90}
    yield 'usual.png', rgb, {}
    yield 'alpha.png', alpha, {}
    yield 'grey.png', grey, {}
    yield 'grey_alpha.png', both, {}
    yield 'bits.png', bits, {}
    yield 'palette.png', palette_with_hole(), {}
    yield 'grey_16.png', of_16_bits(), {}
    yield 'lossy.webp', rgb, {'quality': 70}
    yield 'lossless.webp', rgb, {'lossless': True}
    yield 'lossy_alpha.webp', alpha, {'quality': 70, 'exact': True}
    yield 'lossless_alpha.webp', alpha, {'lossless': True, 'exact': True}
    yield 'usual.tif', rgb, {}
    yield 'lzw.tif', rgb, {'compression': 'tiff_lzw'}
    yield 'deflate.tif', alpha, {'compression': 'tiff_adobe_deflate'}
    yield 'grey.tif', grey, {'compression': 'packbits'}
    yield 'grey_alpha.tif', both, {}
    yield 'fax.tif', bits, {'compression': 'group4'}
    yield 'palette.tif', rgb.quantize(16), {}
    yield 'jpeg.tif', rgb, {'compression': 'jpeg', 'quality': 90}
    yield 'lossless.jp2', rgb, {'irreversible': False}
    yield 'alpha.jp2', alpha, {'irreversible': False}
    yield 'grey.j2k', grey, {'irreversible': False}
    yield 'tiles.j2k', rgb, {'irreversible': False, 'tile_size': (8, 8), 'mct': 0}
    yield 'lossy.j2k', rgb, {'irreversible': True, 'quality_layers': [4]}
    yield 'usual.bmp', rgb, {}
    yield 'alpha.bmp', alpha, {}
    yield 'grey.bmp', grey, {}
    yield 'bits.bmp', bits, {}
    yield 'palette.bmp', rgb.quantize(16), {}


def pixels(data):
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith('I;16'):  # the high byte, as for all other modes
        image = image.point(lambda value: value / 256).convert('L')
    return image.convert('RGB')


def main():
    folder = os.path.join(HERE, 'data/images')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'interlaced.png'), 'wb') as file:
        file.write(interlaced())
    with open(os.path.join(folder, 'interlaced.png.ppm'), 'wb') as file:
        pixels(interlaced()).save(file, 'PPM')
    for name, image, options in files():
        path = os.path.join(folder, name)
        image.save(path, **options)
        with open(path, 'rb') as file:
            pixels(file.read()).save(path + '.ppm')


if __name__ == '__main__':
    main()
