/* Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), to the bit as OpenCV's: the float operations and
   their order are OpenCV's own (compile without contracting them, as -std=c99 does). A side that MIEN_TILES does not
   divide is continued by its mirror image. */
#define TILE ((MIEN_SIDE + MIEN_TILES - 1) / MIEN_TILES)

static uint8_t *const equalised = scratch + MIEN_EQUALISED_AT;
static uint8_t *const tables = scratch + MIEN_EQUALISED_AT + MIEN_SIDE * MIEN_SIDE; /* 256 levels for each tile */

/* The nearest integer, halves to the even one; value is 0 to 255. */
static uint8_t nearest(float value) {
    const int32_t whole = (int32_t)value;
    const float rest = value - (float)whole;
    return (uint8_t)(whole + (rest > 0.5f || (rest == 0.5f && (whole & 1))));
}

static int32_t mirrored(int32_t index) { return index < MIEN_SIDE ? index : 2 * MIEN_SIDE - 2 - index; }

/* Cut counts off at MIEN_CLIP_AT, and spread what was cut off over all grey levels. */
static void limit(int32_t *counts) {
    int32_t clipped = 0;
    for (int grey = 0; grey < 256; grey++)
        if (counts[grey] > MIEN_CLIP_AT) {
            clipped += counts[grey] - MIEN_CLIP_AT;
            counts[grey] = MIEN_CLIP_AT;
        }
    for (int grey = 0; grey < 256; grey++) counts[grey] += clipped / 256;
    int32_t left = clipped % 256;
    const int32_t step = left > 1 ? 256 / left : 256;
    for (int grey = 0; grey < 256 && left > 0; grey += step, left--) counts[grey]++;
}

static void tabulate(const uint8_t *crop, int32_t row, int32_t column) {
    int32_t counts[256] = {0}, sum = 0;
    for (int32_t y = row * TILE; y < (row + 1) * TILE; y++)
        for (int32_t x = column * TILE; x < (column + 1) * TILE; x++)
            counts[crop[mirrored(y) * MIEN_SIDE + mirrored(x)]]++;
    limit(counts);
    for (int grey = 0; grey < 256; grey++) {
        sum += counts[grey];
        tables[(row * MIEN_TILES + column) * 256 + grey] = nearest((float)sum * (255.0f / (TILE * TILE)));
    }
}

/* The two tiles nearest to a pixel along one axis, and the share of the second. */
static float between(int32_t index, int32_t *first, int32_t *second) {
    const float at = (float)index * (1.0f / TILE) - 0.5f;
    const int32_t below = at < 0.0f ? -1 : (int32_t)at;
    *first = below < 0 ? 0 : below;
    *second = below + 1 < MIEN_TILES ? below + 1 : MIEN_TILES - 1;
    return at - (float)below;
}

static float level_of(int32_t row, int32_t column, uint8_t grey) {
    return (float)tables[(row * MIEN_TILES + column) * 256 + grey];
}

static const uint8_t *equalise(const uint8_t *crop) {
    for (int32_t row = 0; row < MIEN_TILES; row++)
        for (int32_t column = 0; column < MIEN_TILES; column++) tabulate(crop, row, column);
    for (int32_t y = 0; y < MIEN_SIDE; y++) {
        int32_t top, bottom;
        const float down = between(y, &top, &bottom);
        for (int32_t x = 0; x < MIEN_SIDE; x++) {
            int32_t left, right;
            const float across = between(x, &left, &right), stay = 1.0f - across;
            const uint8_t grey = crop[y * MIEN_SIDE + x];
            const float upper = level_of(top, left, grey) * stay + level_of(top, right, grey) * across;
            const float lower = level_of(bottom, left, grey) * stay + level_of(bottom, right, grey) * across;
            equalised[y * MIEN_SIDE + x] = nearest(upper * (1.0f - down) + lower * down);
        }
    }
    return equalised;
}
