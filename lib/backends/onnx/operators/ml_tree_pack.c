/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/ml_trees.h>
#include <base/status.h>

#include <inttypes.h>

struct packing {
    const struct onnx_tree_file *file;
    struct onnx_trees *trees;
    struct onnx_tensor *made;
    uint32_t *from;    /* what each packed node is: a linked node, or a leaf */
    uint32_t *offsets; /* from each packed node to its `yes`; 0: a leaf */
    uint32_t *roots;
    uint64_t count;
    uint32_t farthest; /* of the offsets */
};

static bool is_f32(double number) {
    return (double)(float)number == number;
}

/* The trees are of the kind that can be packed. */
static bool is_plain(const struct packing *k) {
    const struct onnx_tree_file *file = k->file;
    bool plain = !file->shared && file->count > 0;
    for (uint32_t i = 0; i < file->count && plain; i++) {
        const struct onnx_tree_node *node = &file->nodes[i];
        k->trees->has_missing |= node->missing;
        k->trees->is_less = node->mode == ONNX_TREE_LT;
        plain = node->mode <= ONNX_TREE_LT && node->mode == file->nodes[0].mode &&
                is_f32(node->by.split);
    }
    return plain;
}

/* Where each node goes: a tree breadth first, the two that a node leads to side by side. */
static void place(struct packing *k) {
    uint32_t count = 0;
    for (uint32_t tree = 0; tree < k->file->trees; tree++) {
        uint32_t at = count;
        k->roots[tree] = count;
        for (k->from[count++] = k->file->roots[tree]; at < count; at++) {
            if (!(k->from[at] & ONNX_TREE_IS_LEAF)) {
                const struct onnx_tree_node *node = &k->file->nodes[k->from[at]];
                k->offsets[at] = count - at;
                k->farthest = k->offsets[at] > k->farthest ? k->offsets[at] : k->farthest;
                k->from[count++] = node->yes;
                k->from[count++] = node->no;
            }
        }
    }
}

/* Each leaf has one vote, all of one tree are for one target, and their weights are f32 and finite:
 * then they are in the nodes. The targets of the trees, or NULL. */
static uint32_t *find_targets(struct packing *k, struct onnx_arena *arena) {
    const uint32_t *begins = k->made[ONNX_TREE_LEAVES].data;
    const struct onnx_tree_vote *votes = k->made[ONNX_TREE_VOTES].data;
    uint32_t *targets = mmi_onnx_take_data(arena, k->file->trees * sizeof(*targets));
    for (uint32_t tree = 0; tree < k->file->trees && targets; tree++) {
        uint64_t end = tree + 1 < k->file->trees ? k->roots[tree + 1] : k->count;
        bool found = false, good = true;
        for (uint64_t i = k->roots[tree]; i < end && good; i++) {
            if (k->offsets[i] == 0) {
                uint32_t leaf = k->from[i] & ~ONNX_TREE_IS_LEAF;
                const struct onnx_tree_vote *vote = &votes[begins[leaf]];
                good = begins[leaf + 1] - begins[leaf] == 1 && isfinite((float)vote->weight) &&
                       is_f32(vote->weight) && (!found || targets[tree] == vote->target);
                targets[tree] = good ? vote->target : 0;
                found = true;
            }
        }
        targets = good ? targets : NULL;
    }
    return targets;
}

static int32_t bits_of(uint64_t number) {
    int32_t bits = 0;
    for (; number > 0; number >>= 1) {
        bits++;
    }
    return bits;
}

static struct onnx_packed_node pack_node(const struct packing *k, uint64_t i) {
    const struct onnx_trees *p = k->trees;
    struct onnx_packed_node packed = {.link = k->offsets[i]};
    if (k->offsets[i] > 0) {
        const struct onnx_tree_node *node = &k->file->nodes[k->from[i]];
        packed.by.split = (float)node->by.split;
        packed.link |= (uint32_t)(p->has_missing && node->missing) << p->offset_bits;
        packed.link |= (node->feature + 1) << (p->offset_bits + p->has_missing);
        return packed;
    }
    uint32_t leaf = k->from[i] & ~ONNX_TREE_IS_LEAF;
    if (p->has_weights) {
        const uint32_t *begins = k->made[ONNX_TREE_LEAVES].data;
        const struct onnx_tree_vote *votes = k->made[ONNX_TREE_VOTES].data;
        packed.by.weight = (float)votes[begins[leaf]].weight;
    } else {
        packed.by.leaf = leaf;
    }
    return packed;
}

static mm_status set_u32(struct onnx_tensor *list, const uint32_t *data, uint64_t count,
                         mm_error *err) {
    int64_t length = (int64_t)count;
    MMI_TRY(mmi_onnx_tensor_set(list, MM_U32, 1, &length, err));
    list->data = data;
    return MM_OK;
}

static mm_status pack(struct packing *k, struct onnx_arena *arena, mm_error *err) {
    struct onnx_packed_node *nodes = mmi_onnx_take(arena, k->count, sizeof(*nodes));
    uint32_t *targets = find_targets(k, arena);
    if (!nodes) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    k->trees->has_weights = targets != NULL;
    for (uint64_t i = 0; i < k->count; i++) {
        nodes[i] = pack_node(k, i);
    }
    MMI_TRY(mmi_onnx_bytes_list(nodes, k->count, sizeof(*nodes), &k->made[ONNX_TREE_NODES], err));
    MMI_TRY(set_u32(&k->made[ONNX_TREE_ROOTS], k->roots, k->file->trees, err));
    if (targets) {
        k->made[ONNX_TREE_LEAVES] = (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
        return set_u32(&k->made[ONNX_TREE_VOTES], targets, k->file->trees, err);
    }
    return MM_OK;
}

mm_status mmi_onnx_pack_trees(struct onnx_arena *arena, const struct onnx_tree_file *file,
                              struct onnx_trees *trees, struct onnx_tensor *made, mm_error *err) {
    struct packing k = {.file = file,
                        .trees = trees,
                        .made = made,
                        .count = 2 * (uint64_t)file->count + file->trees};
    if (is_plain(&k) && k.count < ONNX_TREE_IS_LEAF &&
        made[ONNX_TREE_LEAVES].elements < UINT32_C(0x7f800000)) { /* no leaf is like a NaN */
        k.from = mmi_onnx_take(arena, k.count, sizeof(*k.from));
        k.offsets = mmi_onnx_take(arena, k.count, sizeof(*k.offsets));
        k.roots = mmi_onnx_take(arena, file->trees, sizeof(*k.roots));
        if (!k.from || !k.offsets || !k.roots) {
            return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
        }
        place(&k);
        trees->offset_bits = bits_of(k.farthest);
        if (trees->offset_bits + trees->has_missing + bits_of((uint64_t)trees->features) <= 32) {
            return pack(&k, arena, err);
        }
    }
    trees->offset_bits = 0;
    MMI_TRY(mmi_onnx_bytes_list(file->nodes, file->count, sizeof(*file->nodes),
                                &made[ONNX_TREE_NODES], err));
    return set_u32(&made[ONNX_TREE_ROOTS], file->roots, file->trees, err);
}
