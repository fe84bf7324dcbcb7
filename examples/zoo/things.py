#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make what the zoo looks at and listens to: a picture with words, a spoken sentence, files of many
types; and lay what is expected of them beside.

Usage: things.py FOLDER
"""

import io
import os
import shutil
import subprocess
import sys
import wave
import zipfile

from PIL import Image, ImageDraw, ImageFont

import models

FONT = '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf'
SIZE = (448, 256)  # multiples of 32, as text detection wants them
QUIET_SECONDS = 1  # before and after the sentence
ALWAYS = (2024, 1, 1, 0, 0, 0)  # the time on what is packed: the same bytes in every run


def draw(path):
    """The picture, from picture.txt; one line stands on its head."""
    picture = Image.new('RGB', SIZE, (250, 248, 240))
    top = 24
    for size, direction, text in models.rows('picture.txt', 3):
        # The other way to lay out text depends on what else is installed.
        font = ImageFont.truetype(FONT, int(size), layout_engine=ImageFont.Layout.BASIC)
        left, upper, right, lower = font.getbbox(text)
        line = Image.new('RGB', (right - left + 8, lower - upper + 8), (250, 248, 240))
        ImageDraw.Draw(line).text((4 - left, 4 - upper), text, font=font, fill=(30, 30, 60))
        if direction == 'down':
            line = line.rotate(180)
        picture.paste(line, (24, top))
        top += 56
    picture.save(path + '.ppm')
    picture.save(path + '.png')
    picture.save(path + '.jpg')


def speak(path):
    """sentence.txt as a voice says it, with quiet before and after."""
    spoken = path + '.spoken'
    subprocess.run(['espeak-ng', '-w', spoken, '-f', os.path.join(models.HERE, 'sentence.txt')],
                   check=True)
    with wave.open(spoken) as voice:
        settings = voice.getparams()
        frames = voice.readframes(settings.nframes)
    os.remove(spoken)
    quiet = bytes(settings.framerate * QUIET_SECONDS * settings.sampwidth * settings.nchannels)
    sound = io.BytesIO()
    with wave.open(sound, 'wb') as whole:
        whole.setparams(settings)
        whole.writeframes(quiet + frames + quiet)
    models.write(path, sound.getvalue())


def gather(folder):
    """The files of files.txt into FOLDER/files, under names that give nothing away."""
    with zipfile.ZipFile(os.path.join(folder, 'things.zip'), 'w') as archive:
        for name in ('picture.jpg', 'picture.png', 'speech.wav'):
            with open(os.path.join(folder, name), 'rb') as file:
                archive.writestr(zipfile.ZipInfo(name, ALWAYS), file.read())
    os.makedirs(os.path.join(folder, 'files'), exist_ok=True)
    lines = []
    for place, label in models.rows('files.txt', 2):
        made = place.startswith('zoo:')
        path = os.path.join(folder, place[4:]) if made else os.path.join(models.ROOT, place)
        shutil.copyfile(path, os.path.join(folder, 'files', f'{len(lines):02}'))
        lines.append(f'{len(lines):02} {label} {os.path.basename(path)}\n')
    models.write(os.path.join(folder, 'files.txt'), ''.join(lines).encode())


def main(folder):
    os.makedirs(folder, exist_ok=True)
    draw(os.path.join(folder, 'picture'))
    speak(os.path.join(folder, 'speech.wav'))
    gather(folder)
    shutil.copyfile(os.path.join(models.HERE, 'picture.txt'), os.path.join(folder, 'picture.txt'))


if __name__ == '__main__':
    try:
        main(sys.argv[1])
    except IndexError:
        sys.exit(__doc__)
    except (OSError, subprocess.CalledProcessError) as failure:
        models.fail(failure)
