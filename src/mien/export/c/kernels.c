/* Integer layers (Jacob et al. 2018): uint8 maps (height, width, channels), int8 weights with a scale for each output,
   int32 sums. A sum becomes a byte by an int32 multiplier and a shift in 64 bits, rounded half away from zero. */

typedef struct { int height, width, channels; } shape_t;

typedef struct {
    const uint8_t *source;
    uint8_t *result;
    shape_t in, out;
    const int8_t *weights; /* [outputs][kernel height][kernel width][inputs of a group] */
    const int32_t *bias, *multiplier;
    const uint8_t *shift;
    int kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, groups, in_zero, out_zero;
} conv_t;

typedef struct {
    const uint8_t *source;
    uint8_t *result;
    shape_t in, out;
    int kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x;
} pool_t;

typedef struct {
    const uint8_t *source;
    uint8_t *result;
    shape_t in;
    int32_t multiplier;
    int shift, in_zero, out_zero;
} mean_t;

typedef struct {
    const uint8_t *left, *right;
    uint8_t *result;
    int32_t size, left_size, right_size; /* an operand shorter than the result is broadcast */
    int32_t left_multiplier, right_multiplier;
    int shift, left_zero, right_zero, out_zero;
} pair_t;

typedef struct {
    const uint8_t *source;
    uint8_t *result;
    int32_t size;
    const uint8_t *entries; /* [256] */
} table_t;

static int64_t round_shift(int64_t value, int shift) {
    const int64_t half = (int64_t)1 << (shift - 1);
    return value < 0 ? -((half - value) >> shift) : (value + half) >> shift;
}

static uint8_t byte(int64_t value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static int from(int start) { return start < 0 ? -start : 0; }

static int until(int start, int kernel, int side) { return start + kernel > side ? side - start : kernel; }

MIEN_UNUSED static int32_t dot(const uint8_t *maps, const int8_t *weights, int32_t count, int zero) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) sum += (maps[i] - zero) * weights[i];
    return sum;
}

MIEN_UNUSED static void conv(const conv_t *layer) {
    const int inputs = layer->in.channels / layer->groups, outputs = layer->out.channels / layer->groups;
    uint8_t *result = layer->result;
    for (int y = 0; y < layer->out.height; y++) {
        const int top = y * layer->stride_y - layer->pad_y;
        const int last_row = until(top, layer->kernel_height, layer->in.height);
        for (int x = 0; x < layer->out.width; x++) {
            const int left = x * layer->stride_x - layer->pad_x;
            const int last_column = until(left, layer->kernel_width, layer->in.width);
            /* Without groups the cells of a row are adjacent in the maps and in the weights. */
            const int step = layer->groups == 1 ? last_column - from(left) : 1;
            for (int output = 0; output < layer->out.channels; output++) {
                int32_t sum = layer->bias[output];
                for (int row = from(top); row < last_row; row++) {
                    const int32_t kernel = ((int32_t)output * layer->kernel_height + row) * layer->kernel_width;
                    const int32_t line = (int32_t)(top + row) * layer->in.width + left;
                    for (int column = from(left); column < last_column; column += step) {
                        const uint8_t *maps = layer->source + (line + column) * layer->in.channels;
                        const int8_t *weights = layer->weights + (kernel + column) * inputs;
                        sum += dot(maps + output / outputs * inputs, weights, (int32_t)step * inputs, layer->in_zero);
                    }
                }
                const int64_t scaled = round_shift((int64_t)sum * layer->multiplier[output], layer->shift[output]);
                *result++ = byte(scaled + layer->out_zero);
            }
        }
    }
}

MIEN_UNUSED static void maximum(const pool_t *layer) {
    uint8_t *result = layer->result;
    for (int y = 0; y < layer->out.height; y++) {
        const int top = y * layer->stride_y - layer->pad_y;
        const int last_row = until(top, layer->kernel_height, layer->in.height);
        for (int x = 0; x < layer->out.width; x++) {
            const int left = x * layer->stride_x - layer->pad_x;
            const int last_column = until(left, layer->kernel_width, layer->in.width);
            for (int channel = 0; channel < layer->in.channels; channel++) {
                uint8_t most = 0;
                for (int row = from(top); row < last_row; row++) {
                    for (int column = from(left); column < last_column; column++) {
                        const int32_t offset = (int32_t)(top + row) * layer->in.width + left + column;
                        const uint8_t value = layer->source[offset * layer->in.channels + channel];
                        most = value > most ? value : most;
                    }
                }
                *result++ = most;
            }
        }
    }
}

MIEN_UNUSED static void mean(const mean_t *layer) {
    const int32_t cells = (int32_t)layer->in.height * layer->in.width;
    for (int channel = 0; channel < layer->in.channels; channel++) {
        int32_t sum = -cells * layer->in_zero;
        for (int32_t cell = 0; cell < cells; cell++) sum += layer->source[cell * layer->in.channels + channel];
        layer->result[channel] = byte(round_shift((int64_t)sum * layer->multiplier, layer->shift) + layer->out_zero);
    }
}

MIEN_UNUSED static void add(const pair_t *layer) {
    for (int32_t i = 0; i < layer->size; i++) {
        const int64_t left = layer->left[i % layer->left_size] - layer->left_zero;
        const int64_t right = layer->right[i % layer->right_size] - layer->right_zero;
        const int64_t sum = left * layer->left_multiplier + right * layer->right_multiplier;
        layer->result[i] = byte(round_shift(sum, layer->shift) + layer->out_zero);
    }
}

MIEN_UNUSED static void multiply(const pair_t *layer) {
    for (int32_t i = 0; i < layer->size; i++) {
        const int32_t left = layer->left[i % layer->left_size] - layer->left_zero;
        const int32_t right = layer->right[i % layer->right_size] - layer->right_zero;
        const int64_t product = (int64_t)(left * right) * layer->left_multiplier;
        layer->result[i] = byte(round_shift(product, layer->shift) + layer->out_zero);
    }
}

MIEN_UNUSED static void look_up(const table_t *layer) {
    for (int32_t i = 0; i < layer->size; i++) layer->result[i] = layer->entries[layer->source[i]];
}
