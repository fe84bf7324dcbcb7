#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes corpus/*.onnx, the small models that fuzzing begins with: many operators, odd forms.

Needs the package onnx; the files are checked in, so that the tests do not.
"""

import math
import os

import onnx.parser

HERE = os.path.dirname(os.path.abspath(__file__))

MODELS = {
    'image': (17, '''(float[N, 3, 8, 8] x) => (float[N, 2] y)
        <float[4, 3, 3, 3] w, float[4] scale = {1, 2, 3, 4}, float[4] shift = {0, 1, 0, 1},
         float[4] mean = {0, 0, 1, 1}, float[4] variance = {1, 1, 2, 2}, float[4, 1, 3, 3] depth,
         float[2, 4] head = {1, 2, 3, 4, 5, 6, 7, 8}, float[2] bias = {1, -1}> {
        c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w)
        n = BatchNormalization (c, scale, shift, mean, variance)
        r = Relu (n)
        d = Conv <group = 4, pads = [1, 1, 1, 1]> (r, depth)
        s = HardSwish (d)
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
        a = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0], count_include_pad = 1> (p)
        g = GlobalAveragePool (a)
        f = Flatten (g)
        l = Gemm <transB = 1> (f, head, bias)
        y = Softmax <axis = -1> (l)
    }'''),
    'grow': (18, '''(float[1, 2, H, W] x) => (float[1, 3, A, B] y)
        <float[2, 1, 2, 2] w, float[4] scales = {1, 1, 2, 1.5}, float[1] one = {0.5}> {
        t = ConvTranspose <strides = [2, 2], group = 2> (x, w)
        u = Resize <mode = "linear"> (x, , scales)
        shape = Shape (u)
        v = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric"> (t, , , shape)
        s = Sigmoid (v)
        m = Mul (s, u)
        c = ReduceMean <keepdims = 1> (m)
        e = Expand (c, shape)
        k = Concat <axis = 1> (m, e)
        h, i = Split <axis = 1, num_outputs = 2> (k)
        z = Add (h, one)
        q, r = Split <axis = 1, num_outputs = 2> (i)
        y = Concat <axis = 1> (z, q)
    }'''),
    'numbers': (20, '''(float[2, 3] x, int64[3] i, bool[2, 1] b)
        => (float[2, 3] y, int64[3] j, bool[2, 3] c)
        <int64[3] k = {7, -2, 3}, float16[1] half = {15360}, double[1] two = {2.5},
         uint8[3] bytes = {1, 2, 255}, int32[1] three = {3}, bool[1] yes = {1}> {
        a = Abs (x)
        q = Sqrt (a)
        e = Exp (q)
        l = Log (e)
        t = Tanh (l)
        f = Erf (t)
        h = Cast <to = 1> (half)
        d = Cast <to = 1> (two)
        u = Cast <to = 1> (bytes)
        p = Pow (a, d)
        m = Max (f, p, u)
        n = Min (m, h)
        w = Where (b, n, x)
        y = Clip (w, , d)
        mod = Mod (i, k)
        neg = Neg (mod)
        i3 = Cast <to = 7> (three)
        j = Add (neg, i3)
        less = Less (x, y)
        or = Or (less, yes)
        not = Not (b)
        c = Xor (or, not)
    }'''),
    'parts': (6, '''(float[2, 3] x, float[2] gain) => (float[2, 3] y) <float[2] gain = {2, 3}> {
        a = Add <broadcast = 1, axis = 0> (x, gain)
        b = my.Twice <slope = 0.25> (a, gain)
        y = PRelu (b, x)
    }
    <domain: "my", opset_import: ["": 16, "my": 1]>
    Twice <slope> (x, b) => (z) {
        t = my.Slope <slope: float = @slope> (x)
        z = my.Slope <slope: float = @slope> (t, b)
    }
    <domain: "my", opset_import: ["": 13]>
    Slope <slope, steep: float = 0.5> (x, b) => (y) {
        t = LeakyRelu <alpha: float = @slope> (x)
        y = LeakyRelu <alpha: float = @steep> (t)
    }'''),
    'sequence': (14, '''(float[S, 1, 3] x, float[1, 1, 2] h, float[1, 1, 2] c)
        => (float[S, 1, 2] y, float[1, 1, 2] hn, float[1, 1, 2] cn)
        <float[1, 8, 3] w, float[1, 8, 2] r, float[1, 16] b, float[1, 6, 2] gw,
         float[1, 6, 2] gr> {
        lstm, lh, cn = LSTM <hidden_size = 2> (x, w, r, b, , h, c)
        axes = Constant <value_ints = [1]> ()
        s = Squeeze (lstm, axes)
        gru, hn = GRU <hidden_size = 2, linear_before_reset = 1> (s, gw, gr)
        o = Squeeze (gru, axes)
        y = Relu (o)
    }'''),
    'shapes': (15, '''(float[A, B, 4] x) => (float[C] y, int64[1] n)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] minus = {-1},
         int64[1] last = {9223372036854775807},
         int64[2] twice = {1, 2}, int64[6] pads = {0, 0, 1, 0, 0, 1}> {
        s = Shape (x)
        rows = Gather (s, zero)
        both = Concat <axis = 0> (rows, minus)
        flat = Reshape (x, both)
        t = Transpose <perm = [1, 0]> (flat)
        cut = Slice (t, zero, last, one, one)
        u = Unsqueeze (cut, one)
        tail = Slice (s, one, last)
        ones = ConstantOfShape <value = int64[1] {2}> (tail)
        tiled = Tile (flat, twice)
        p = Pad <mode = "reflect"> (x, pads)
        size = Size (p)
        n = Reshape (size, one)
        a = Reshape (tiled, minus)
        b = Reshape (p, minus)
        z = Concat <axis = 0> (a, b)
        f = Cast <to = 1> (ones)
        g = Reshape (f, minus)
        y = Concat <axis = 0> (z, g)
    }'''),
    'windows': (17, '''(int64 n, float[A, 3, 3] x) => (float[S] y, float[A] d, float[A, 3, 3] m) {
        hann = HannWindow (n)
        hamming = HammingWindow <periodic = 0> (n)
        blackman = BlackmanWindow <output_datatype = 1> (n)
        y = Sum (hann, hamming, blackman)
        m = MeanVarianceNormalization <axes = [0, 2]> (x)
        d = Det (m)
    }'''),
    'branches': (16, '''(float[N, 2] x, int64 rate) => (float[N, 2] y)
        <int64 high = {16000}, float[1] two = {2}> {
        a = Add (x, two)
        fast = Equal (rate, high)
        y = If (fast) <
            then_branch = g1 () => (float[N, 2] r) {
                s = Shape (a)
                zero = Constant <value_int = 0> ()
                n = Gather <axis = 0> (s, zero)
                r = Mul (a, two)
            },
            else_branch = g2 () => (float[N, 2] r) {
                slow = Not (fast)
                r = If (slow) <
                    then_branch = g3 () => (float[N, 2] t) { t = Sub (a, x) },
                    else_branch = g4 () => (float[N, 2] t) { t = Identity (a) }
                >
            }
        >
    }'''),
    'old': (7, '''(float[1, 2, 4] x) => (float[1, 2, A, B] y) <float[1] one = {1}> {
        u = Unsqueeze <axes = [1]> (x)
        c = Clip <min = -1.0, max = 6.0> (u)
        d, mask = Dropout <ratio = 0.5> (c)
        p = Pad <pads = [0, 0, 0, 1, 0, 0, 0, 1], value = 0.5> (d)
        s = Slice <starts = [0], ends = [2], axes = [2]> (p)
        g = Upsample <mode = "nearest", scales = [1.0, 1.0, 2.0, 2.0]> (s)
        m = ReduceSum <axes = [3], keepdims = 1> (g)
        q = Squeeze <axes = [3]> (m)
        w = Unsqueeze <axes = [3]> (q)
        t = Softmax <axis = 2> (w)
        z = Add (g, t)
        a, b = Split <axis = 3, split = [4, 8]> (z)
        y = Add (a, one)
    }'''),
    'reduce': (18, '''(float[2, 3, 4] x) => (float[2, 3, 4] y, int64[2, 1, 4] j)
        <int64[1] last = {-1}, int64[2] two = {1, 2}, float[4] scale = {1, 2, 3, 4},
         float[4] shift = {0, 0, 1, 1}> {
        a = ReduceMax (x, last)
        b = ReduceSum <keepdims = 1> (x, two)
        c = ReduceL2 (x, last)
        d = ReduceProd (x)
        e = ArgMax <axis = 1> (x)
        l = LayerNormalization <axis = -1> (x, scale, shift)
        s = LogSoftmax <axis = 1> (l)
        m = ReduceMean (x, last)
        n = Sub (x, m)
        o = Mul (n, n)
        p = ReduceMean (o, last)
        q = Sqrt (p)
        r = Div (n, q)
        t = Sum (a, b, c, d, s, r)
        y = HardSigmoid <alpha = 0.2, beta = 0.5> (t)
        j = Identity (e)
    }'''),
    'attention': (17, '''(float[B, 3, 4] x) => (float[B, 3, 4] y)
        <float[4, 4] q, float[4, 4] k, float[4, 4] v, float[4] bias = {1, 2, 3, 4},
         float half = {0.5}> {
        a = MatMul (x, q)
        ab = Add (a, bias)
        b = MatMul (x, k)
        c = MatMul (x, v)
        t = Transpose <perm = [0, 2, 1]> (b)
        s = MatMul (ab, t)
        m = Mul (s, half)
        p = Softmax (m)
        o = MatMul (p, c)
        z = Add (o, x)
        e = Erf (z)
        y = Mul (e, z)
    }'''),
    'pick': (16, '''(float[3, 4] x, int64[2] i) => (float[2, 4] y, float[3, 4] z, float[2, 3] h)
        <int64[2, 4] at = {0, 1, 2, 0, 1, 2, 0, 1}, int64[1, 2] place = {1, 2}, float[1] nine = {9},
         int64 depth = {3}, float[2] off_on = {0, 1}> {
        g = Gather <axis = 0> (x, i)
        e = GatherElements <axis = 0> (x, at)
        y = Add (g, e)
        s = ScatterND (x, place, nine)
        z = ScatterElements <axis = 0> (s, at, y)
        h = OneHot <axis = -1> (i, depth, off_on)
    }'''),
    'curves': (20, '''(float[2, 3] x) => (float[2, 3] y)
        <float[3] slope = {0.1, 0.2, 0.3}, double[2, 1] wide = {1, 2}> {
        a1 = Sin (x)
        a2 = Cos (a1)
        a3 = Tan (a2)
        a4 = Atan (a3)
        a5 = Sinh (a4)
        a6 = Asinh (a5)
        a7 = Cosh (a6)
        a8 = Reciprocal (a7)
        a9 = Acos (a8)
        b1 = Softplus (a9)
        b2 = Softsign (b1)
        b3 = Mish (b2)
        b4 = Elu (b3)
        b5 = Celu (b4)
        b6 = Selu (b5)
        b7 = Gelu (b6)
        b8 = LeakyRelu (b7)
        b9 = ThresholdedRelu <alpha = 0.1> (b8)
        c1 = Shrink <bias = 0.1> (b9)
        c2 = PRelu (c1, slope)
        c3 = Floor (c2)
        c4 = Ceil (c2)
        c5 = Round (c2)
        c6 = Sign (c2)
        c7 = Mean (c3, c4, c5, c6)
        c8 = CastLike (wide, c7)
        y = Add (c7, c8)
    }'''),
    'bits': (18, '''(uint8[4] x, int32[2, 4] i, float[4] f)
        => (uint8[4] y, bool[2, 4] b, int32[2, 4] j)
        <uint8[1] three = {3}, int32[4] mask = {1, 2, 4, 8}, int64 end = {4}, int64 zero = {0},
         int64 one = {1}> {
        a = BitwiseAnd (x, three)
        o = BitwiseOr (a, three)
        n = BitwiseNot (o)
        y = BitShift <direction = "LEFT"> (n, three)
        r = Range (zero, end, one)
        s = Cast <to = 6> (r)
        p = Add (s, mask)
        t = BitwiseXor (i, p)
        j = CumSum (t, one)
        g = Greater (j, mask)
        l = LessOrEqual (i, mask)
        nan = IsNaN (f)
        inf = IsInf (f)
        c = And (g, l)
        d = Or (c, nan)
        b = Xor (d, inf)
    }'''),
    'norms': (18, '''(float[1, 4, 3, 3] x) => (float[1, 4, 3, 3] y, int64[4] i)
        <float[4] scale = {1, 2, 3, 4}, float[4] shift = {0, 1, 0, 1}, float[2] gscale = {1, 2},
         float[2] gshift = {0, 1}> {
        a = InstanceNormalization (x, scale, shift)
        b = GroupNormalization <num_groups = 2> (a, gscale, gshift)
        c = LRN <size = 3> (b)
        d = LpPool <kernel_shape = [2, 2], auto_pad = "SAME_UPPER"> (c)
        size = Constant <value_ints = [1, 4, 3, 3]> ()
        e = Resize <mode = "cubic", antialias = 1,
                    keep_aspect_ratio_policy = "not_larger"> (d, , , size)
        f = Hardmax <axis = 1> (e)
        g = GlobalMaxPool (f)
        h = GlobalLpPool (d)
        k = ReduceLogSumExp (c)
        l = ReduceLogSum (h)
        m = ReduceL1 (g)
        n = ReduceMin (m)
        o = ReduceSumSquare (c)
        y = Sum (e, g, h, k, l, n, o)
        q = ArgMin <axis = 1, select_last_index = 1> (y)
        i = Shape (q)
    }'''),
    'places': (16, '''(float[1, 4, 2, 2] x, int64[1] lengths)
        => (float[1, 4, 2, 2] y, float[1, 2] g) <int64[1, 3] at = {0, 1, 1}, int64 up = {1}> {
        a = DepthToSpace <blocksize = 2, mode = "CRD"> (x)
        b = SpaceToDepth <blocksize = 2> (a)
        c = Trilu <upper = 0> (b, up)
        y = ReverseSequence <batch_axis = 0, time_axis = 1> (c, lengths)
        g = GatherND (y, at)
        s = Shape (g)
        e = EyeLike <k = 1> (g)
        f = Cast <to = 1> (e)
    }'''),
    'recurrent': (14, '''(float[S, 2, 3] x, int32[2] lens)
        => (float[S, 2, 2, 4] y, float[2, 2, 4] h)
        <float[2, 4, 3] w, float[2, 4, 4] r, float[2, 8] b> {
        y, h = RNN <hidden_size = 4, direction = "bidirectional",
                    activations = ["Relu", "Tanh"]> (x, w, r, b, lens)
    }'''),
    'quantised': (23, '''(float[N, 2, 5, 5] x)
        => (uint8[N, 3, P, Q] y, float[N, 3, R, S] z, int32[N, 3, 2] m, uint8[N, 5, 2] v)
        <float scale = {0.125}, uint8 zero = {9}, int8 w_zero = {-1}, uint8 odd = {3},
         int8[3, 2, 2, 2] w = {1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3,
                               4, -5, 6, -7, 8, -9, 1, -2, 3, -4, 5, -6},
         int32[3] b = {7, -7, 0}, float[3] scales = {0.5, 0.25, 0.75},
         int8[5, 2] r = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, int64[3] s = {0, -1, 5}> {
        q, dynamic, shift = DynamicQuantizeLinear (x)
        y = QLinearConv <pads = [1, 0, 0, 1]> (q, dynamic, shift, w, scale, w_zero, scale, zero, b)
        c = ConvInteger (q, w, shift, w_zero)
        z = DequantizeLinear <axis = 1> (c, scales)
        rows = Reshape (q, s)
        m0 = MatMulInteger (rows, r, shift)
        begin = Constant <value_ints = [0]> ()
        end = Constant <value_ints = [3]> ()
        axes = Constant <value_ints = [1]> ()
        m = Slice (m0, begin, end, axes)
        v0 = QLinearMatMul (rows, scale, odd, r, scale, w_zero, scale, zero)
        end5 = Constant <value_ints = [5]> ()
        v = Slice (v0, begin, end5, axes)
    }'''),
    'layers': (21, '''(uint8[N, 2, 4, 4] x)
        => (uint8[N, 3, 3, 3] y, float[N, 2] z, uint8[N, 2, P] v)
        <float scale = {0.125}, uint8 zero = {9}, float[3] scales = {0.5, 0.25, 0.75},
         int8[3] zeros = {0, 1, -1}, float small = {0.015625}, int8 none = {0},
         int8[3, 2, 2, 2] w = {1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3,
                               4, -5, 6, -7, 8, -9, 1, -2, 3, -4, 5, -6},
         int32[3] b = {7, -7, 0}, int8[2, 3] r = {1, 2, 3, 4, 5, 6},
         int64[2] flat = {0, -1}, int64[6] pads = {0, 0, 1, 0, 0, 0}, float[2] c> {
        xf = DequantizeLinear (x, scale, zero)
        wf = DequantizeLinear <axis = 0> (w, scales, zeros)
        bf = DequantizeLinear (b, small)
        cf = Conv (xf, wf, bf)
        rf = Relu (cf)
        y = QuantizeLinear <output_dtype = 2> (rf, scale)
        yf = DequantizeLinear (y, scale)
        g = GlobalAveragePool (yf)
        gq = QuantizeLinear (g, scale)
        gf = DequantizeLinear (gq, scale)
        f = Reshape (gf, flat)
        fq = QuantizeLinear (f, scale)
        ff = DequantizeLinear (fq, scale)
        same = Identity (small)
        q = DequantizeLinear (r, same, none)
        t = Transpose <perm = [1, 0]> (q)
        z = Gemm (ff, t, c)
        three = Constant <value_ints = [0, 2, -1]> ()
        m0 = Reshape (xf, three)
        mq = QuantizeLinear (m0, scale, zero)
        mf = DequantizeLinear (mq, scale, zero)
        m1, m2 = Split <axis = 2, num_outputs = 2> (mf)
        q1 = QuantizeLinear (m1, scale, zero)
        q2 = QuantizeLinear (m2, scale, zero)
        f1 = DequantizeLinear (q1, scale, zero)
        f2 = DequantizeLinear (q2, scale, zero)
        sum = Add (f1, f2)
        sq = QuantizeLinear (sum, scale, zero)
        sf = DequantizeLinear (sq, scale, zero)
        k = Concat <axis = 2> (f1, sf)
        kq = QuantizeLinear (k, scale, zero)
        kf = DequantizeLinear (kq, scale, zero)
        padded = Pad (kf, pads)
        v = QuantizeLinear (padded, scale, zero)
    }'''),
    'narrow': (24, '''(float[N, 6] x, string[S] s)
        => (float[N, 6] y, float[N, 7] z, string[T] t, float16[S] u, float[6, N] p)
        {
        column = Constant <value_floats = [0.5, 1.0, 2.0, 0.5, 1.0, 2.0]> ()
        four = QuantizeLinear <axis = 1, output_dtype = 22> (x, column)
        y = DequantizeLinear (four, column)
        e4 = Cast <to = 17, saturate = 0> (x)
        f4 = Cast <to = 23> (e4)
        pads = Constant <value_ints = [0, 1, 0, 0]> ()
        padded = Pad (f4, pads)
        z = Cast <to = 1> (padded)
        sizes = Shape (x)
        t = Cast <to = 8> (sizes)
        u = Cast <to = 10> (s)
        e8 = Cast <to = 24, round_mode = "nearest"> (x)
        two = Cast <to = 26> (e8)
        turned = Transpose (two)
        p = Cast <to = 1> (turned)
    }'''),
    'mathematics': (20, '''(float[2, 3, 4] x, int64[2, 4] t)
        => (float[2, 3, 3] e, float[2, 2, 4] v, float c, float[2, 3, 4] r)
        <int64[1] k = {2}, int64[2] size = {5, 2}, int64[1] seven = {7}> {
        e = Einsum <equation = "bij,...kj->...ik"> (x, x)
        v, i = TopK <axis = 1> (x, k)
        n = LpNormalization <p = 1, axis = 1> (x)
        p = CenterCropPad <axes = [1, -1]> (n, size)
        c, l = SoftmaxCrossEntropyLoss <ignore_index = -1> (n, t)
        u = RandomUniformLike <seed = 1.0> (l)
        b = Bernoulli <seed = 2.0> (u)
        z = RandomNormal <shape = [2, 3, 4], seed = 3.0> ()
        r = Sum (l, b, z)
    }'''),
    'sampled': (22, '''(float[1, 2, 4, 4] x, float[1, 2, 3] theta, float[1, 8, 3, 3] offset)
        => (float[1, 2, 3, 3] y, float[1, 2, 2, 2] z, float[1, 2, 4, 4] u, float[1, 1, 3, 3] f)
        <int64[4] size = {1, 2, 3, 3}, float[2, 2, 2, 2] w, float[1, 4] roi = {0, 0, 3, 2},
         int64[1] batch = {0}, int64[2] image = {3, 3}, int64[2] block = {2, 2},
         float[1, 4, 4] columns> {
        g = AffineGrid (theta, size)
        s = GridSample <mode = "cubic", padding_mode = "reflection"> (x, g)
        d = DeformConv (x, w, offset)
        y = Add (s, d)
        z = RoiAlign <output_height = 2, output_width = 2> (x, roi, batch)
        p, i = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        u = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (p, i)
        f = Col2Im (columns, image, block)
    }'''),
    'spectrum': (17, '''(float[1, N, 1] x) => (float[1, F, 5, 2] y, float[1, 6, 2] d, float[5, 3] m)
        <int64 step = {2}, float[8] window, int64 length = {6}, int64 bands = {3},
         int64 bins = {8}, int64 rate = {8000}, float low = {0}, float high = {3000}> {
        y = STFT (x, step, window)
        d = DFT <axis = 1> (x, length)
        m = MelWeightMatrix (bands, bins, rate, low, high)
    }'''),
    # attention
    'heads': (24, '''(float[1, 3, 8] q, float[1, 3, 4] k, float[1, 2, 2, 2] pk,
                      float[1, 2, 2, 2] pv, int64[1, 3] at, int64[1] start)
        => (float[1, 3, 8] y, float[1, 2, 5, 2] nk, float[1, 2, 5, 2] nv)
        <float[8, 1] c, float[8, 1] s, bool[3, 5] mask = {1,1,1,0,1,1,1,1,1,1,1,0,1,1,1}> {
        r = RotaryEmbedding <num_heads = 4> (q, c, s, at)
        o, nk, w, p = Attention <q_num_heads = 4, kv_num_heads = 2, softcap = 2.0,
                                 qk_matmul_output_mode = 3> (r, k, k, mask, pk, pv)
        h = TensorScatter <axis = -2> (w, pv, start)
        nv = Attention <is_causal = 1> (h, nk, w)
        y = Add (o, q)
    }'''),
    'microsoft': (17, '''(float[1, 3, 4] x, float[1, 2, 4, 2] past, int32[1] lengths)
        => (float[1, 3, 4] y)
        <float[4, 12] w, float[12] b, float[4] scale, int32 longest = {4}, float[4, 4] m> {
        a = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (x, w, b, lengths)
        c = com.microsoft.SkipLayerNormalization (a, x, scale)
        d = com.microsoft.MultiHeadAttention <num_heads = 2> (c, c, x)
        e, k, v = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 2,
            local_window_size = 2> (d, d, d, past, past, lengths, longest)
        f = com.microsoft.FastGelu (e, scale)
        g = com.microsoft.QuickGelu (f)
        y = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (g, m)
    }'''),
    'microsoft_quantised': (17, '''(float[2, 1, 3] x, int32[1] lengths, int32[1, 2] ids)
        => (float[1, 2, 2] y, float[1, 2, 2] e, int32[1] counts)
        <int8[1, 3, 4] w = {1, -2, 3, 4, 5, 6, -7, 8, 9, 1, 2, -3},
         int8[1, 1, 4] r = {10, -20, 30, 40}, float[1] s = {0.125}, int8[1] o = {0},
         uint8[1, 2] m = {200, 3}, float[2] t = {0.5, 0.25}, uint8[2] p = {100, 7},
         int8[2, 6] q = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6},
         float[6] b = {0.0, 0.5, 0.0, 1.0, 0.0, 0.25}, uint8[3, 2] words = {9, 8, 7, 6, 5, 4},
         uint8[2, 2] square = {1, 2, 3, 4}, uint8[2] g = {3, 5}, float one = {0.5},
         uint8 zero = {4}, int64[3] shape = {1, 2, 2}> {
        h = com.microsoft.DynamicQuantizeLSTM <hidden_size = 1>
            (x, w, r, , lengths, , , , s, o, s, o)
        k = com.microsoft.DynamicQuantizeMatMul (h, m, t, p)
        l = Reshape (k, shape)
        a, scale, point = DynamicQuantizeLinear (l)
        n = com.microsoft.QAttention <num_heads = 2, unidirectional = 1>
            (a, q, b, scale, one, lengths, point)
        d, u, v = DynamicQuantizeLinear (n)
        y = com.microsoft.MatMulIntegerToFloat (d, square, u, t, v, p, t)
        e, counts = com.microsoft.QEmbedLayerNormalization
            (ids, , words, words, , g, g, ids, one, one, , one, one, zero, zero, , zero, zero)
    }'''),
    'microsoft_images': (17, '''(float[1, 3, 4, 2] x, float[2, 4] boxes, int32[2] which,
        float[1, 1, 4] query, float[1, 2, 3, 2] past, int32 length)
        => (float[2, 2, 2, 2] y, float[1, N] z, float[1, 1, 4] d, float[1, 2, 3, 2] k,
            float[1, 2, 3, 2] v)
        <float[2] g = {1.0, 0.5}, float[2, 2, 2, 2] w, float[2, 1, 2, 2] t,
         int64[4] pads = {0, 1, 1, 0}, int32[2] size = {2, 2}, int32 axis = {0}> {
        a = com.microsoft.GroupNorm <groups = 2, activation = 1> (x, g, g)
        b = com.microsoft.SkipGroupNorm <groups = 1, activation = 0> (a, g, g, x, g)
        c = com.microsoft.NhwcConv <pads = [0, 1, 1, 0]> (b, w, g)
        e = Transpose <perm = [0, 3, 1, 2]> (c)
        f = com.microsoft.ConvTransposeWithDynamicPads <strides = [1, 2]> (e, t, pads)
        h = Concat <axis = 1> (f, f)
        y = com.microsoft.CropAndResize <mode = "nearest"> (h, boxes, which, size)
        i = com.microsoft.Trilu (y)
        j = com.microsoft.Inverse (i)
        l = com.microsoft.GridSample <padding_mode = "border"> (j, w)
        m = com.microsoft.GemmFastGelu (l, j)
        n = Flatten <axis = 0> (m)
        o = Squeeze (n)
        p, q, r = com.microsoft.Unique (o)
        z = com.microsoft.ExpandDims (p, axis)
        d, k, v = com.microsoft.DecoderMaskedMultiHeadAttention
            <num_heads = 2, past_present_share_buffer = 1>
            (query, query, query, , , past, past, length)
    }'''),
    # texts and ai.onnx.ml
    'texts': (20, '''(string[N] x, string[1] z) => (string[A] a, bool[N] b, string[N, P] c,
        int64[N] d, float[7] e) {
        joined = StringConcat (x, z)
        a = StringNormalizer <case_change_action = "LOWER", stopwords = ["a", "bc"]> (joined)
        b = RegexFullMatch <pattern = "(?i)[a-f\\\\d]+|x{2,3}(?:y|\\\\w*)$"> (x)
        c, d = StringSplit <delimiter = ","> (joined)
        e = TfIdfVectorizer <mode = "TFIDF", min_gram_length = 1, max_gram_length = 2,
            max_skip_count = 1, ngram_counts = [0, 1], ngram_indexes = [6, 2],
            pool_strings = ["a", "a", "b"], weights = [1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 3.0]> (x)
    }'''),
    'tokens': (18, '''(string[N] x) => (string[N, A] a, string[N, B] b, string[N, C] c,
        uint32[N] d) {
        a = com.microsoft.Tokenizer <mark = 1, mincharnum = 1, pad_value = "#",
            separators = ["[ ,]+", "x*"]> (x)
        b = com.microsoft.Tokenizer <mark = 0, mincharnum = 2, pad_value = "",
            tokenexp = "(?i)[a-f\\\\d]+|x{2,3}(?:y|\\\\b)"> (x)
        c = com.microsoft.Tokenizer <mark = 0, mincharnum = 1, pad_value = "",
            separators = [""]> (x)
        d = com.microsoft.MurmurHash3 <seed = 7, positive = 1> (x)
    }'''),
    'trees': ('18, "ai.onnx.ml": 3', '''(float[N, 2] x) => (string[N] label, float[N, 2] p,
        int64[N] q, float[N, 1] r, float[N, 3] o) {
        s = ai.onnx.ml.Scaler <offset = [0.5, 1.0], scale = [2.0, 1.0]> (x)
        label, p = ai.onnx.ml.TreeEnsembleClassifier <nodes_treeids = [0, 0, 0],
            nodes_nodeids = [0, 1, 2], nodes_featureids = [1, 0, 0],
            nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0],
            nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0],
            class_treeids = [0, 0], class_nodeids = [1, 2], class_ids = [0, 0],
            class_weights = [-1.0, 2.0], classlabels_strings = ["no", "yes"],
            post_transform = "LOGISTIC"> (s)
        q = ai.onnx.ml.LabelEncoder <keys_strings = ["yes", "no"], values_int64s = [5, 7]> (label)
        r = ai.onnx.ml.SVMRegressor <n_supports = 2, support_vectors = [1.0, 0.0, 0.0, 1.0],
            coefficients = [2.0, 3.0], rho = [0.5], kernel_type = "RBF",
            kernel_params = [0.5, 0.0, 3.0]> (s)
        o = ai.onnx.ml.OneHotEncoder <cats_int64s = [5, 6, 7]> (q)
    }'''),
    'pictures': (20, '''(float[1] x) => (float[H, W, C] y, uint8[V, U, B] z)
        <uint8[88] bmp = {
         66, 77, 0, 0, 0, 0, 0, 0, 0, 0, 70, 0, 0, 0, 40, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 1,
         0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0,
         255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0, 2, 3, 0, 3, 1, 2, 3, 0, 0, 0, 0,
         2, 1, 1, 2, 1, 0, 1},
         uint8[21] pnm = {
         80, 51, 32, 50, 32, 49, 32, 57, 35, 10, 49, 32, 50, 32, 51, 32, 52, 32, 53, 32, 57}> {
        a = ImageDecoder <pixel_format = "BGR"> (bmp)
        f = Cast <to = 1> (a)
        y = Mul (f, x)
        z = ImageDecoder <pixel_format = "Grayscale"> (pnm)
    }'''),
}


def main():
    folder = os.path.join(HERE, 'corpus')
    os.makedirs(folder, exist_ok=True)
    for name, (opset, text) in MODELS.items():
        others = ', "com.microsoft": 1' if 'com.microsoft.' in text else ''
        others += ', "my": 1' if 'domain: "my"' in text else ''
        head = f'<ir_version: 8, opset_import: ["": {opset}{others}]> {name} '
        model = onnx.parser.parse_model(head + text)
        for value in model.graph.value_info:  # declared without numbers: weights
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            model.graph.initializer.append(onnx.helper.make_tensor(
                value.name, value.type.tensor_type.elem_type, dims,
                [(i * 37 % 19 - 9) / 16 for i in range(math.prod(dims))]))
        del model.graph.value_info[:]
        with open(os.path.join(folder, name + '.onnx'), 'wb') as file:
            file.write(model.SerializeToString())


if __name__ == '__main__':
    main()
