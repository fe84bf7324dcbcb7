#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks of published architectures with random weights, as ONNX models.

Usage: networks.py OUT_DIR [--only NAME ...] [--half development|held_out] [--seed N]
                   [--batch N] [--precision f32|f16|int8-qdq|int8-dynamic] [--list]

Writes OUT_DIR/NAME.onnx. The same seed gives the same bytes. Needs onnx and numpy; int8 needs
ONNX Runtime, whose quantizer it is. Every network belongs to a half: what an engine is tuned by is
`development`, and only `held_out` tells what that is worth elsewhere.
"""

import argparse
import os
import sys

import numpy
from onnx import TensorProto

from blocks import Net

NETWORKS = {}  # name -> Network


class Network:
    """How one is built: function(net); opset as its exporter would have had it."""

    def __init__(self, build, family, half, opset):
        self.name, self.build = build.__name__, build
        self.family, self.half, self.opset = family, half, opset

    def model(self, seed=1, batch=1, precision='f32'):
        net = Net(self.name, seed, batch, self.opset)
        self.build(net)
        if precision == 'f32':
            return net.model()
        import variants
        return variants.convert(net.model(), precision, seed)


def network(family, half, opset=17):
    def note(build):
        NETWORKS[build.__name__] = Network(build, family, half, opset)
        return build
    return note


development = 'development'
held_out = 'held_out'


def image(net, size=224):
    return net.input('image', net.batch, 3, size, size)


def classify(net, x, classes=1000):
    net.output(net.linear(net.flatten(net.global_pool(x)), classes), 'logits')


# ---- Convolutional classifiers -----------------------------------------------------------------

def basic_block(net, x, channels, stride):
    short = x
    if stride > 1 or net.shapes[x][1] != channels:
        short = net.conv(x, channels, 1, stride)
    y = net.conv(x, channels, 3, stride, 'relu')
    return net.unary('Relu', net.binary('Add', net.conv(y, channels, gain=0.5), short))


def bottleneck(net, x, channels, stride):
    short = x
    if net.shapes[x][1] != 4 * channels:
        short = net.conv(x, 4 * channels, 1, stride)
    y = net.conv(net.conv(x, channels, 1, act='relu'), channels, 3, stride, 'relu')
    return net.unary('Relu', net.binary('Add', net.conv(y, 4 * channels, 1, gain=0.5), short))


def resnet_stages(net, x, block, counts):
    """What each stage puts out."""
    x = net.max_pool(net.conv(x, 64, 7, 2, 'relu'), 3, 2, 1)
    stages = []
    for i, count in enumerate(counts):
        for k in range(count):
            x = block(net, x, 64 << i, 2 if i and not k else 1)
        stages.append(x)
    return stages


@network('classifier', development)
def resnet18(net):
    classify(net, resnet_stages(net, image(net), basic_block, (2, 2, 2, 2))[-1])


@network('classifier', held_out)
def resnet50(net):
    classify(net, resnet_stages(net, image(net), bottleneck, (3, 4, 6, 3))[-1])


@network('classifier', development)
def vgg11(net):
    """With one hidden layer of 1024 for two of 4096."""
    x = image(net)
    for channels in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for each in channels:
            x = net.conv(x, each, act='relu')
        x = net.max_pool(x, 2, 2)
    net.output(net.linear(net.linear(net.flatten(x), 1024, 'relu'), 1000), 'logits')


@network('classifier', held_out)
def squeezenet(net):
    x = net.max_pool(net.conv(image(net), 64, 3, 2, 'relu', pad=0), 3, 2)
    for i, (squeeze, expand) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192),
                                           (48, 192), (64, 256), (64, 256))):
        x = net.max_pool(x, 3, 2) if i in (2, 4) else x
        y = net.conv(x, squeeze, 1, act='relu')
        x = net.concat([net.conv(y, expand, 1, act='relu'), net.conv(y, expand, 3, act='relu')])
    net.output(net.flatten(net.global_pool(net.conv(x, 1000, 1, act='relu'))), 'logits')


@network('classifier', development)
def densenet121(net):
    x = net.max_pool(net.conv(image(net), 64, 7, 2, 'relu'), 3, 2, 1)
    for i, count in enumerate((6, 12, 24, 16)):
        if i:
            y = net.conv(net.batch_norm(x, 'relu'), net.shapes[x][1] // 2, 1)
            x = net.pool('AveragePool', y, 2, 2)
        for _ in range(count):
            y = net.conv(net.batch_norm(x, 'relu'), 128, 1, act='relu')
            x = net.concat([x, net.conv(y, 32)])
    classify(net, net.batch_norm(x, 'relu'))


# ---- Mobile classifiers ------------------------------------------------------------------------

def inverted(net, x, out, expand, stride, kernel=3, act='relu6', excite=0, gate='Sigmoid'):
    """Inverted residual of MobileNetV2 and its heirs; excite: width of squeeze and excitation."""
    depth = net.shapes[x][1]
    y = net.conv(x, expand, 1, act=act) if expand != depth else x
    y = net.conv(y, expand, kernel, stride, act, groups=expand)
    if excite:
        y = net.squeeze_excite(y, excite, 'silu' if act == 'silu' else 'relu', gate)
    y = net.conv(y, out, 1, gain=1.5 if excite else 1.0)
    return net.binary('Add', x, y) if stride == 1 and depth == out else y


def mobilenet_v2_stages(net, x, dilate_last=False):
    """What each stride puts out."""
    x = net.conv(x, 32, 3, 2, 'relu6')
    stages = []
    for factor, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                       (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        if dilate_last and out == 160:
            stride = 1
        for k in range(count):
            if stride == 2 and not k:
                stages.append(x)
            x = inverted(net, x, out, factor * net.shapes[x][1], 1 if k else stride)
    return stages + [x]


@network('mobile', development)
def mobilenet_v2(net):
    x = mobilenet_v2_stages(net, image(net))[-1]
    classify(net, net.conv(x, 1280, 1, act='relu6'))


@network('mobile', held_out)
def mobilenet_v3_large(net):
    x = net.conv(image(net), 16, 3, 2, 'hardswish')
    for kernel, expand, out, excite, act, stride in (
            (3, 16, 16, 0, 'relu', 1), (3, 64, 24, 0, 'relu', 2), (3, 72, 24, 0, 'relu', 1),
            (5, 72, 40, 24, 'relu', 2), (5, 120, 40, 32, 'relu', 1), (5, 120, 40, 32, 'relu', 1),
            (3, 240, 80, 0, 'hardswish', 2), (3, 200, 80, 0, 'hardswish', 1),
            (3, 184, 80, 0, 'hardswish', 1), (3, 184, 80, 0, 'hardswish', 1),
            (3, 480, 112, 120, 'hardswish', 1), (3, 672, 112, 168, 'hardswish', 1),
            (5, 672, 160, 168, 'hardswish', 2), (5, 960, 160, 240, 'hardswish', 1),
            (5, 960, 160, 240, 'hardswish', 1)):
        x = inverted(net, x, out, expand, stride, kernel, act, excite, 'HardSigmoid')
    x = net.flatten(net.global_pool(net.conv(x, 960, 1, act='hardswish')))
    net.output(net.linear(net.linear(x, 1280, 'hardswish'), 1000), 'logits')


@network('mobile', development)
def efficientnet_b0(net):
    x = net.conv(image(net), 32, 3, 2, 'silu')
    for factor, out, count, stride, kernel in (
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)):
        for k in range(count):
            depth = net.shapes[x][1]
            x = inverted(net, x, out, factor * depth, 1 if k else stride, kernel, 'silu',
                         max(depth // 4, 1))
    classify(net, net.conv(x, 1280, 1, act='silu'))


@network('mobile', held_out)
def shufflenet_v2(net):
    x = net.max_pool(net.conv(image(net), 24, 3, 2, 'relu'), 3, 2, 1)
    for channels, count in ((116, 4), (232, 8), (464, 4)):
        half = channels // 2
        for k in range(count):
            if k:
                left, y = net.split(x, [half, half])
            else:
                depth = net.shapes[x][1]
                left = net.conv(net.conv(x, depth, 3, 2, groups=depth), half, 1, act='relu')
                y = x
            y = net.conv(y, half, 1, act='relu')
            y = net.conv(y, half, 3, 1 if k else 2, groups=half)
            x = net.concat([left, net.conv(y, half, 1, act='relu')])
            n, c, h, w = net.shapes[x]
            x = net.transpose(net.reshape(x, n, 2, half, h, w), 0, 2, 1, 3, 4)
            x = net.reshape(x, n, c, h, w)
    classify(net, net.conv(x, 1024, 1, act='relu'))


# ---- Vision transformers and their kin ---------------------------------------------------------

@network('vision transformer', held_out)
def convnext_tiny(net):
    def normed(x):
        return net.transpose(net.layer_norm(net.transpose(x, 0, 2, 3, 1)), 0, 3, 1, 2)
    x = normed(net.conv(image(net), 96, 4, 4, pad=0))
    for i, (channels, count) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        x = net.conv(normed(x), channels, 2, 2, pad=0) if i else x
        for _ in range(count):
            y = net.conv(x, channels, 7, groups=channels)
            y = net.layer_norm(net.transpose(y, 0, 2, 3, 1))
            y = net.linear(net.linear(y, 4 * channels, 'gelu'), channels)
            y = net.binary('Mul', net.near_one(channels), y)
            x = net.binary('Add', net.transpose(y, 0, 3, 1, 2), x)
    y = net.layer_norm(net.flatten(net.mean(x, -2, -1)))
    net.output(net.linear(y, 1000), 'logits')


@network('vision transformer', development)
def vit_tiny(net):
    x = net.conv(image(net), 192, 16, 16, pad=0)
    x = net.transpose(net.reshape(x, net.batch, 192, -1), 0, 2, 1)
    x = net.concat([net.normal([net.batch, 1, 192], 1, 'class'), x])
    x = net.binary('Add', x, net.normal([1, 197, 192], 0.2, 'position'))
    for _ in range(12):
        x = net.transformer(x, 3, 768, norm_first=True)
    first = net.add('Gather', [net.layer_norm(x), net.constant(numpy.int64(0))],
                    [net.batch, 192], axis=1)
    net.output(net.linear(first, 1000), 'logits')


# ---- Detectors ---------------------------------------------------------------------------------

def c2f(net, x, channels, count, short=True):
    half = channels // 2
    parts = net.split(net.conv(x, channels, 1, act='silu'), [half, half])
    for _ in range(count):
        y = net.conv(net.conv(parts[-1], half, act='silu'), half, act='silu')
        parts.append(net.binary('Add', parts[-1], y) if short else y)
    return net.conv(net.concat(parts), channels, 1, act='silu', gain=0.7)


def yolo_head(net, levels):
    """Boxes from distributions over 16 distances, and 80 scores."""
    found, n = [], net.batch
    for x in levels:
        box = net.conv(net.conv(net.conv(x, 64, act='silu'), 64, act='silu'), 64, 1)
        score = net.conv(net.conv(net.conv(x, 80, act='silu'), 80, act='silu'), 80, 1)
        found.append(net.reshape(net.concat([box, score]), n, 144, -1))
    box, score = net.split(net.concat(found, 2), [64, 80])
    count = net.shapes[box][2]
    y = net.unary('Softmax', net.transpose(net.reshape(box, n, 4, 16, count), 0, 2, 1, 3), axis=1)
    ramp = net.constant(numpy.arange(16, dtype=numpy.float32).reshape(1, 16, 1, 1))
    y = net.add('Conv', [y, ramp], [n, 1, 4, count], kernel_shape=[1, 1])
    low, high = net.split(net.reshape(y, n, 4, count), [2, 2])
    sides = [net.shapes[x][3] for x in levels]
    anchors = numpy.concatenate([numpy.mgrid[0:side, 0:side][::-1].reshape(2, -1) + 0.5
                                 for side in sides], 1).astype(numpy.float32)[None]
    strides = numpy.concatenate([numpy.full(side * side, sides[0] * 8 // side)
                                 for side in sides]).astype(numpy.float32)[None, None]
    low = net.binary('Sub', net.constant(anchors), low)
    high = net.binary('Add', net.constant(anchors), high)
    centre = net.binary('Div', net.binary('Add', low, high), 2)
    box = net.binary('Mul', net.concat([centre, net.binary('Sub', high, low)]),
                     net.constant(strides))
    net.output(net.concat([box, net.unary('Sigmoid', score)]), 'found')


@network('detector', development)
def yolov8n(net):
    x = net.conv(net.conv(image(net, 640), 16, 3, 2, 'silu'), 32, 3, 2, 'silu')
    levels = []
    for channels, count in ((32, 1), (64, 2), (128, 2), (256, 1)):
        x = net.conv(x, channels, 3, 2, 'silu') if channels > 32 else x
        x = c2f(net, x, channels, count)
        levels.append(x)
    y = net.conv(x, 128, 1, act='silu')
    pooled = [y]
    for _ in range(3):
        pooled.append(net.max_pool(pooled[-1], 5, 1, 2))
    deep = net.conv(net.concat(pooled), 256, 1, act='silu')
    middle = c2f(net, net.concat([net.resize(deep, 2), levels[2]]), 128, 1, False)
    fine = c2f(net, net.concat([net.resize(middle, 2), levels[1]]), 64, 1, False)
    y = net.conv(fine, 64, 3, 2, 'silu')
    middle = c2f(net, net.concat([y, middle]), 128, 1, False)
    y = net.conv(middle, 128, 3, 2, 'silu')
    deep = c2f(net, net.concat([y, deep]), 256, 1, False)
    yolo_head(net, [fine, middle, deep])


def dense_head(net, x, out, values, tower=()):
    """Convolutions, then boxes x values with a row for each."""
    for channels in tower:
        x = net.conv(x, channels, act='relu')
    x = net.transpose(net.conv(x, out), 0, 2, 3, 1)
    return net.reshape(x, net.batch, -1, values)


@network('detector', held_out)
def ssd_mobilenet(net):
    stages = mobilenet_v2_stages(net, image(net, 320))
    x = net.conv(stages[-1], 1280, 1, act='relu6')
    levels = [stages[3], x]
    for channels in (512, 256, 256, 128):
        x = inverted(net, x, channels, channels // 2, 2)
        levels.append(x)
    boxes = [dense_head(net, level, 6 * 4, 4) for level in levels]
    scores = [dense_head(net, level, 6 * 91, 91) for level in levels]
    net.output(net.concat(boxes), 'boxes')
    net.output(net.unary('Softmax', net.concat(scores), axis=-1), 'scores')


@network('detector', development)
def retinanet_fpn(net):
    """ResNet-18, a pyramid of 128 channels, shared shapes of heads with two layers each."""
    stages = resnet_stages(net, image(net, 320), basic_block, (2, 2, 2, 2))[1:]
    levels, above = [], None
    for stage in reversed(stages):
        x = net.conv(stage, 128, 1, gain=0.5)
        above = net.binary('Add', x, net.resize(above, 2)) if above else x
        levels.insert(0, net.conv(above, 128))
    levels.append(net.conv(levels[-1], 128, 3, 2))
    levels.append(net.conv(net.unary('Relu', levels[-1]), 128, 3, 2))
    boxes = [dense_head(net, level, 9 * 4, 4, (128, 128)) for level in levels]
    scores = [dense_head(net, level, 9 * 20, 20, (128, 128)) for level in levels]
    net.output(net.concat(boxes), 'boxes')
    net.output(net.unary('Sigmoid', net.concat(scores)), 'scores')


# ---- Dense outputs -----------------------------------------------------------------------------

@network('segmentation', development)
def unet(net):
    def twice(x, channels):
        return net.conv(net.conv(x, channels, act='relu'), channels, act='relu')
    x, skips = image(net, 256), []
    for channels in (32, 64, 128, 256):
        x = twice(x, channels)
        skips.append(x)
        x = net.max_pool(x, 2, 2)
    x = twice(x, 512)
    for skip in reversed(skips):
        channels = net.shapes[skip][1]
        x = twice(net.concat([skip, net.conv_transpose(x, channels, 2, 2)]), channels)
    net.output(net.conv(x, 21, 1), 'mask')


@network('segmentation', held_out)
def deeplab_mobilenet(net):
    stages = mobilenet_v2_stages(net, image(net, 256), dilate_last=True)
    x = stages[-1]
    parts = [net.conv(x, 256, 1, act='relu')]
    parts += [net.conv(x, 256, 3, act='relu', dilation=rate) for rate in (6, 12, 18)]
    y = net.conv(net.global_pool(x), 256, 1, act='relu')
    parts.append(net.resize(y, net.shapes[x][2:], 'linear'))
    x = net.resize(net.conv(net.concat(parts), 256, 1, act='relu'), 4, 'linear')
    x = net.concat([x, net.conv(stages[1], 48, 1, act='relu')])
    x = net.conv(net.conv(x, 128, act='relu'), 128, act='relu')
    net.output(net.resize(net.conv(x, 21, 1), 4, 'linear'), 'mask')


def time_embedding(net, width):
    """Sines and cosines of the time step, and two layers."""
    step = net.add('Cast', [net.integers('step', 0, 999, net.batch)], [net.batch],
                   to=TensorProto.FLOAT)
    rates = numpy.exp(-numpy.log(1e4) * numpy.arange(64) / 64).astype(numpy.float32)[None]
    angle = net.binary('Mul', net.unsqueeze(step, 1), net.constant(rates))
    waves = net.concat([net.unary('Sin', angle), net.unary('Cos', angle)])
    return net.linear(net.linear(waves, width, 'silu'), width)


def diffusion_block(net, x, channels, time):
    y = net.conv(net.group_norm(x, 32, 'silu'), channels)
    shift = net.linear(net.activate(time, 'silu'), channels)
    y = net.binary('Add', y, net.unsqueeze(shift, 2, 3))
    y = net.conv(net.group_norm(y, 32, 'silu'), channels, gain=0.5)
    short = x if net.shapes[x][1] == channels else net.conv(x, channels, 1)
    return net.binary('Add', short, y)


def spatial_attention(net, x):
    n, c, h, w = net.shapes[x]
    rows = net.transpose(net.reshape(net.group_norm(x, 32), n, c, h * w), 0, 2, 1)
    y = net.transpose(net.attention(rows, c // 64), 0, 2, 1)
    return net.binary('Add', net.reshape(y, n, c, h, w), x)


@network('generative', held_out)
def diffusion_unet(net):
    time = time_embedding(net, 512)
    x = net.conv(net.input('sample', net.batch, 4, 32, 32), 128)
    skips = [x]
    for channels in (128, 256, 256):
        x = net.conv(x, net.shapes[x][1], 3, 2) if len(skips) > 1 else x
        for _ in range(2):
            x = diffusion_block(net, x, channels, time)
            x = spatial_attention(net, x) if net.shapes[x][2] <= 16 else x
            skips.append(x)
    x = diffusion_block(net, spatial_attention(net, x), 256, time)
    for channels in (256, 256, 128):
        for _ in range(2):
            x = diffusion_block(net, net.concat([x, skips.pop()]), channels, time)
            x = spatial_attention(net, x) if net.shapes[x][2] <= 16 else x
        if net.shapes[x][2] < 32:
            x = net.conv(net.resize(x, 2), channels)
    net.output(net.conv(net.group_norm(x, 32, 'silu'), 4), 'noise')


def shuffle_up(net, x, factor):
    n, c, h, w = net.shapes[x]
    return net.add('DepthToSpace', [x], [n, c // factor ** 2, h * factor, w * factor],
                   blocksize=factor, mode='CRD')


@network('generative', development)
def espcn(net):
    x = net.input('luma', net.batch, 1, 180, 320)
    x = net.conv(net.conv(x, 64, 5, act='tanh'), 32, 3, act='tanh')
    net.output(shuffle_up(net, net.conv(x, 9), 3), 'larger')


@network('generative', held_out)
def edsr(net):
    x = first = net.conv(net.input('image', net.batch, 3, 96, 96), 64)
    for _ in range(8):
        x = net.binary('Add', x, net.conv(net.conv(x, 64, act='relu'), 64, gain=0.5))
    x = net.binary('Add', net.conv(x, 64), first)
    net.output(net.conv(shuffle_up(net, net.conv(x, 256), 2), 3), 'larger')


# ---- Text --------------------------------------------------------------------------------------

def bert(net, length, layers, width, heads, types=True):
    """An encoder with a mask; the result is every token's vector."""
    tokens = net.integers('input_ids', 0, 30521, net.batch, length)
    mask = net.integers('attention_mask', 1, 1, net.batch, length)
    x = net.embedding(tokens, 30522, width)
    if types:
        kinds = net.integers('token_type_ids', 0, 1, net.batch, length)
        x = net.binary('Add', x, net.embedding(kinds, 2, width, 0.3))
    x = net.layer_norm(net.binary('Add', x, net.normal([1, length, width], 0.3, 'position')))
    mask = net.unsqueeze(mask, 1, 2)
    mask = net.add('Cast', [mask], net.shapes[mask], to=TensorProto.FLOAT)
    mask = net.binary('Mul', net.binary('Sub', net.number(1), mask), -10000)
    for _ in range(layers):
        x = net.transformer(x, heads, 4 * width, mask)
    net.output(x, 'last_hidden_state')


@network('text', held_out, opset=14)
def bert_base_128(net):
    bert(net, 128, 12, 768, 12)


@network('text', development, opset=14)
def minilm_l6_16(net):
    bert(net, 16, 6, 384, 12)


@network('text', held_out)
def minilm_l6_128(net):
    bert(net, 128, 6, 384, 12)


@network('text', development)
def minilm_l6_384(net):
    bert(net, 384, 6, 384, 12)


@network('text', held_out, opset=13)
def distilbert_64(net):
    bert(net, 64, 6, 768, 12, types=False)


# ---- Sound -------------------------------------------------------------------------------------

@network('sound', held_out)
def whisper_tiny_encoder(net):
    x = net.input('mel', net.batch, 80, 3000)
    x = net.conv(net.conv(x, 384, 3, act='gelu'), 384, 3, 2, act='gelu')
    x = net.binary('Add', net.transpose(x, 0, 2, 1), net.normal([1500, 384], 0.3, 'position'))
    for _ in range(4):
        x = net.transformer(x, 6, 1536, norm_first=True)
    net.output(net.layer_norm(x), 'hidden')


@network('sound', development)
def hifigan_small(net):
    """HiFi-GAN V3's shapes: three upsamplings, blocks of dilated convolutions, averaged."""
    x = net.conv(net.input('mel', net.batch, 80, 64), 256, 7)
    for i, (kernel, stride) in enumerate(((16, 8), (16, 8), (8, 4))):
        x = net.conv_transpose(net.activate(x, 'leaky'), 128 >> i, kernel, stride,
                               (kernel - stride) // 2)
        parts = []
        for size, dilations in ((3, (1, 2)), (5, (2, 6)), (7, (3, 12))):
            y = x
            for dilation in dilations:
                step = net.conv(net.activate(y, 'leaky'), 128 >> i, size, dilation=dilation,
                                gain=0.5)
                y = net.binary('Add', step, y)
            parts.append(y)
        total = net.binary('Add', net.binary('Add', parts[0], parts[1]), parts[2])
        x = net.binary('Div', total, 3)
    net.output(net.unary('Tanh', net.conv(net.activate(x, 'leaky'), 1, 7)), 'wave')


@network('sound', held_out)
def tcn(net):
    """Temporal convolutions; causal by padding both sides and cutting the end off."""
    x, length = net.input('frames', net.batch, 40, 1000), 1000
    for i in range(8):
        short = x if net.shapes[x][1] == 64 else net.conv(x, 64, 1)
        y = x
        for _ in range(2):
            y = net.conv(y, 64, 3, dilation=1 << i, pad=2 << i)
            y = net.unary('Relu', net.slice(y, 0, length, 2))
        x = net.unary('Relu', net.binary('Add', y, short))
    net.output(net.conv(x, 10, 1), 'classes')


# ---- Recurrent ---------------------------------------------------------------------------------

def tagger(net, op, both_ways, layers, hidden):
    tokens = net.integers('tokens', 0, 9999, net.batch, 64)
    x = net.transpose(net.embedding(tokens, 10000, 128), 1, 0, 2)
    for _ in range(layers):
        x = net.recurrent(x, hidden, op, both_ways)
    net.output(net.linear(net.transpose(x, 1, 0, 2), 17, gain=2.0), 'tags')


@network('recurrent', development)
def gru_tagger(net):
    tagger(net, 'GRU', False, 2, 256)


@network('recurrent', held_out)
def lstm_tagger(net):
    tagger(net, 'LSTM', True, 2, 256)


@network('recurrent', development)
def crnn(net):
    """Convolutions to a row of columns, then two bidirectional LSTM."""
    x = net.input('line', net.batch, 1, 32, 256)
    for channels, pool in ((64, (2, 2)), (128, (2, 2)), (256, None), (256, (2, 1)), (512, None),
                           (512, (2, 1))):
        x = net.conv(x, channels, act='relu')
        x = net.max_pool(x, pool, pool) if pool else x
    x = net.conv(x, 512, 2, pad=0, act='relu')
    x = net.transpose(net.add('Squeeze', [x, net.whole(2)], [net.batch, 512, net.shapes[x][3]]),
                      2, 0, 1)
    for _ in range(2):
        x = net.recurrent(x, 256)
    net.output(net.linear(x, 37, gain=2.0), 'letters')


# ---- Rows --------------------------------------------------------------------------------------

@network('rows', held_out)
def recommender(net):
    """DLRM: embeddings and a dense vector, the products of all pairs, and layers."""
    tables, n = 26, net.batch
    dense = net.input('dense', n, 13)
    sparse = net.integers('sparse', 0, 9999, n, tables)
    for width in (512, 256, 64):
        dense = net.linear(dense, width, 'relu')
    vectors = [net.unsqueeze(dense, 1)]
    for i in range(tables):
        column = net.add('Gather', [sparse, net.whole(i)], [n, 1], axis=1)
        vectors.append(net.embedding(column, 10000, 64, 0.3))
    x = net.concat(vectors)
    products = net.reshape(net.matmul(x, net.transpose(x, 0, 2, 1)), n, -1)
    rows, columns = numpy.tril_indices(tables + 1, -1)
    places = net.whole(*(rows * (tables + 1) + columns))
    pairs = net.add('Gather', [products, places], [n, len(rows)], axis=1)
    x = net.concat([dense, pairs])
    for width in (512, 256):
        x = net.linear(x, width, 'relu')
    net.output(net.unary('Sigmoid', net.linear(x, 1)), 'chance')


@network('rows', development)
def mlp(net):
    x = net.input('features', net.batch, 784)
    for _ in range(3):
        x = net.linear(x, 1024, 'relu')
    net.output(net.unary('Softmax', net.linear(x, 10), axis=-1), 'classes')


# ---- The command -------------------------------------------------------------------------------

def make_inputs(model, seed=1):
    """Seeded arrays for the inputs of a model of this file, name -> array."""
    random = numpy.random.default_rng(seed)
    arrays = {}
    for value in model.graph.input:
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == TensorProto.INT64:
            lowest, highest = map(int, value.doc_string.split('..'))
            arrays[value.name] = random.integers(lowest, highest + 1, shape)
        else:
            half = value.type.tensor_type.elem_type == TensorProto.FLOAT16
            array = signal(random, shape)
            arrays[value.name] = array.astype(numpy.float16) if half else array
    return arrays


def signal(random, shape):
    """Noise; of two axes and more with slow changes below it, else all pictures are alike."""
    array = random.standard_normal(shape, numpy.float32)
    for step in (32, 8) if len(shape) > 2 else ():
        coarse = shape[:2] + [-(-axis // step) for axis in shape[2:]]
        slow = random.standard_normal(coarse, numpy.float32)
        for axis in range(2, len(shape)):
            slow = slow.repeat(step, axis)
        array += slow[tuple(slice(axis) for axis in shape)]
    return array / numpy.float32(3 ** 0.5 if len(shape) > 2 else 1)


def add_choices(parser):
    parser.add_argument('--only', nargs='+', metavar='NAME', choices=NETWORKS, default=[])
    parser.add_argument('--half', choices=(development, held_out))
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--precision', default='f32',
                        choices=('f32', 'f16', 'int8-qdq', 'int8-dynamic'))


def chosen(arguments):
    return [each for each in NETWORKS.values() if
            (not arguments.only or each.name in arguments.only) and
            arguments.half in (None, each.half)]


def write(network_, folder, arguments):
    """The path of the model, which is made if it is missing."""
    variant = f'{network_.name}-{arguments.precision}-{arguments.batch}-{arguments.seed}'
    plain = (arguments.precision, arguments.batch, arguments.seed) == ('f32', 1, 1)
    path = os.path.join(folder, (network_.name if plain else variant) + '.onnx')
    if not os.path.exists(path):
        model = network_.model(arguments.seed, arguments.batch, arguments.precision)
        os.makedirs(folder, exist_ok=True)
        with open(path + '.part', 'wb') as file:
            file.write(model.SerializeToString(deterministic=True))
        os.replace(path + '.part', path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out_dir')
    parser.add_argument('--list', action='store_true', help='say what there is, write nothing')
    add_choices(parser)
    arguments = parser.parse_args()
    for each in chosen(arguments):
        print(f'{each.name:22} {each.half:12} {each.family:20}',
              '' if arguments.list else write(each, arguments.out_dir, arguments))


if __name__ == '__main__':
    sys.exit(main())
