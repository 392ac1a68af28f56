/* The three benchmark models, each written by hand for that model alone.
 *
 * What lives here: the yardstick. No interpreter, no statistics beyond the mean latency, state in
 * locals, a binary heap of 16-byte events whose root is overwritten by the event that follows it
 * (one sift instead of two), the next arrival kept outside the heap.
 *
 * usage: models a|b|c REQUESTS SEED inverse|ziggurat
 * prints one JSON line: requests completed, seconds of wall clock in the loop, mean latency [s].
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INLINE static inline __attribute__((always_inline))
#define MANY 65536u /* events pending, or requests waiting in one line; a power of two */

static void fail(const char *why) {
    fprintf(stderr, "models: %s\n", why);
    exit(2);
}

/* ---- random numbers: xoshiro256++ seeded by splitmix64 (Blackman and Vigna) ---- */

typedef struct {
    uint64_t s[4];
} Rng;

static void rng_seed(Rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ (z >> 31);
    }
}

INLINE uint64_t rotate_left(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

INLINE uint64_t rng_next(Rng *rng) {
    uint64_t *s = rng->s, result = rotate_left(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

INLINE double uniform(Rng *rng) { return (double)(rng_next(rng) >> 11) * 0x1p-53; }

/* Exponential by a 256-layer ziggurat (Marsaglia and Tsang 2000): layer i spans x in [0, zig_x[i]]
 * and has area ZIG_V; layer 0 holds the tail beyond ZIG_R. */
#define ZIG_R 7.69711747013104972
#define ZIG_V 0.0039496598225815571993
static double zig_x[257], zig_y[257];

static void ziggurat_tables(void) {
    zig_x[0] = ZIG_V / exp(-ZIG_R);
    zig_x[1] = ZIG_R;
    for (int i = 2; i < 256; i++) zig_x[i] = -log(exp(-zig_x[i - 1]) + ZIG_V / zig_x[i - 1]);
    zig_x[256] = 0.0;
    for (int i = 0; i < 257; i++) zig_y[i] = exp(-zig_x[i]);
}

static __attribute__((noinline)) double ziggurat_edge(Rng *rng, unsigned layer, double x) {
    for (;;) {
        if (layer == 0) return ZIG_R - log(1.0 - uniform(rng));
        if (zig_y[layer] + uniform(rng) * (zig_y[layer + 1] - zig_y[layer]) < exp(-x)) return x;
        uint64_t bits = rng_next(rng);
        layer = bits & 255;
        x = (double)(bits >> 11) * 0x1p-53 * zig_x[layer];
        if (x < zig_x[layer + 1]) return x;
    }
}

INLINE double exponential(Rng *rng, double mean, int ziggurat) {
    if (!ziggurat) return -log(1.0 - uniform(rng)) * mean;
    uint64_t bits = rng_next(rng);
    unsigned layer = bits & 255;
    double x = (double)(bits >> 11) * 0x1p-53 * zig_x[layer];
    return mean * (x < zig_x[layer + 1] ? x : ziggurat_edge(rng, layer, x));
}

/* ---- event queue: binary heap, index 1 is the root ---- */

typedef union {
    double arrived_at; /* models a and b need no more of a request */
    struct {
        uint32_t kind, request;
    };
} What;

typedef struct {
    double at;
    What what;
} Event;

typedef struct {
    uint32_t n;
    Event e[MANY + 1];
} Heap;

INLINE void heap_push(Heap *h, Event event) {
    if (h->n == MANY) fail("too many pending events");
    uint32_t i = ++h->n;
    for (; i > 1 && event.at < h->e[i >> 1].at; i >>= 1) h->e[i] = h->e[i >> 1];
    h->e[i] = event;
}

INLINE void heap_replace_root(Heap *h, Event event) {
    uint32_t i = 1, child;
    while ((child = 2 * i) <= h->n) {
        if (child < h->n) child += h->e[child + 1].at < h->e[child].at;
        if (event.at <= h->e[child].at) break;
        h->e[i] = h->e[child];
        i = child;
    }
    h->e[i] = event;
}

INLINE void heap_pop(Heap *h) {
    Event last = h->e[h->n--];
    if (h->n) heap_replace_root(h, last);
}

/* ---- first-in first-out line of what is to start next ---- */

typedef struct {
    uint32_t head, tail;
    What what[MANY];
} Line;

INLINE void line_put(Line *line, What what) {
    if (line->tail - line->head == MANY) fail("a waiting line is full");
    line->what[line->tail++ & (MANY - 1)] = what;
}

INLINE int line_empty(const Line *line) { return line->head == line->tail; }
INLINE What line_get(Line *line) { return line->what[line->head++ & (MANY - 1)]; }

/* ---- request pool with a free list ---- */

typedef struct {
    uint32_t free_count, free[4 * MANY];
    double arrived_at[4 * MANY];
    uint32_t server[4 * MANY];
} Pool;

static Heap heap;
static Line lines[5];
static Pool pool;

static void pool_reset(void) {
    pool.free_count = 4 * MANY;
    for (uint32_t i = 0; i < 4 * MANY; i++) pool.free[i] = 4 * MANY - 1 - i;
}

INLINE uint32_t pool_take(double now) {
    if (!pool.free_count) fail("too many requests in flight");
    uint32_t request = pool.free[--pool.free_count];
    pool.arrived_at[request] = now;
    return request;
}

INLINE double pool_give(uint32_t request, double now) {
    pool.free[pool.free_count++] = request;
    return now - pool.arrived_at[request];
}

/* ---- models a and b: M/M/slots ---- */

INLINE double mmc(uint64_t requests, Rng *seeded, int ziggurat, double rate, uint32_t slots) {
    Rng rng = *seeded;
    double gap = 1.0 / rate, arrival_at = exponential(&rng, gap, ziggurat), total = 0.0;
    uint32_t busy = 0;
    Line *line = &lines[0];
    for (uint64_t done = 0; done < requests;) {
        if (!heap.n || arrival_at < heap.e[1].at) {
            What request = {.arrived_at = arrival_at};
            if (busy < slots) {
                busy++;
                heap_push(&heap, (Event){arrival_at + exponential(&rng, 1.0, ziggurat), request});
            } else {
                line_put(line, request);
            }
            arrival_at += exponential(&rng, gap, ziggurat);
            continue;
        }
        double now = heap.e[1].at;
        total += now - heap.e[1].what.arrived_at;
        done++;
        if (line_empty(line)) {
            busy--;
            heap_pop(&heap);
        } else {
            double end = now + exponential(&rng, 1.0, ziggurat);
            heap_replace_root(&heap, (Event){end, line_get(line)});
        }
    }
    return total / (double)requests;
}

/* ---- model c: round robin over 4 servers of 4 workers; half of the requests query a database
 * over 8 connections, their worker held meanwhile ---- */

enum { COMPUTED, QUERIED };

INLINE double shop(uint64_t requests, Rng *seeded, int ziggurat) {
    Rng rng = *seeded;
    const double gap = 1.0 / 1251.9, compute = 0.005, query = 0.010;
    double arrival_at = exponential(&rng, gap, ziggurat), total = 0.0;
    uint32_t workers_busy[4] = {0}, connections_busy = 0, turn = 0;
    Line *database_line = &lines[4];
    for (uint64_t done = 0; done < requests;) {
        if (!heap.n || arrival_at < heap.e[1].at) {
            double now = arrival_at;
            uint32_t request = pool_take(now), server = turn++ & 3;
            arrival_at = now + exponential(&rng, gap, ziggurat);
            pool.server[request] = server;
            if (workers_busy[server] < 4) {
                workers_busy[server]++;
                double end = now + exponential(&rng, compute, ziggurat);
                heap_push(&heap, (Event){end, {.kind = COMPUTED, .request = request}});
            } else {
                line_put(&lines[server], (What){.kind = COMPUTED, .request = request});
            }
            continue;
        }
        double now = heap.e[1].at;
        uint32_t request = heap.e[1].what.request, root_is_free = 1;
        if (heap.e[1].what.kind == COMPUTED) {
            if (uniform(&rng) >= 0.5) {
                if (connections_busy < 8) {
                    connections_busy++;
                    double end = now + exponential(&rng, query, ziggurat);
                    heap_replace_root(&heap, (Event){end, {.kind = QUERIED, .request = request}});
                } else {
                    line_put(database_line, (What){.kind = QUERIED, .request = request});
                    heap_pop(&heap);
                }
                continue;
            }
        } else if (line_empty(database_line)) {
            connections_busy--;
        } else {
            double end = now + exponential(&rng, query, ziggurat);
            heap_replace_root(&heap, (Event){end, line_get(database_line)});
            root_is_free = 0;
        }
        uint32_t server = pool.server[request];
        total += pool_give(request, now);
        done++;
        if (line_empty(&lines[server])) {
            workers_busy[server]--;
            if (root_is_free) heap_pop(&heap);
        } else {
            double end = now + exponential(&rng, compute, ziggurat);
            Event next = {end, line_get(&lines[server])};
            if (root_is_free) {
                heap_replace_root(&heap, next);
            } else {
                heap_push(&heap, next);
            }
        }
    }
    return total / (double)requests;
}

/* One instance per model and kind of draw, so that neither is tested for inside the loop. */
static double run(char model, uint64_t requests, Rng *rng, int ziggurat) {
    switch (model) {
    case 'a': return ziggurat ? mmc(requests, rng, 1, 0.8, 1) : mmc(requests, rng, 0, 0.8, 1);
    case 'b': return ziggurat ? mmc(requests, rng, 1, 7.2, 8) : mmc(requests, rng, 0, 7.2, 8);
    case 'c': return ziggurat ? shop(requests, rng, 1) : shop(requests, rng, 0);
    }
    fail("the model must be a, b or c");
    return NAN;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 5) fail("usage: models a|b|c REQUESTS SEED inverse|ziggurat");
    uint64_t requests = strtoull(argv[2], NULL, 10);
    int ziggurat = strcmp(argv[4], "ziggurat") == 0;
    if (!ziggurat && strcmp(argv[4], "inverse")) fail("draws must be inverse or ziggurat");
    Rng rng;
    rng_seed(&rng, strtoull(argv[3], NULL, 10));
    ziggurat_tables();
    pool_reset();
    double started = seconds_now();
    double mean = run(argv[1][0], requests, &rng, ziggurat);
    double seconds = seconds_now() - started;
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"mean_latency_s\": %.9f, "
           "\"version\": \"cc %s\"}\n",
           (unsigned long long)requests, seconds, mean, __VERSION__);
    return 0;
}
