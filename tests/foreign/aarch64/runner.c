/* Calls kernels of a library for this processor, on buffers that come on stdin; what becomes of them goes to stdout.
 *
 * Usage: runner LIBRARY. All numbers are little-endian, as on the other side. A call is
 *     uint32 length, name; uint32 slots; then per slot a byte and
 *         'b' uint64 size, bytes        a buffer; its bytes come back
 *         'v' uint32 slot               the same buffer again, seen as another type
 *         's' 8 bytes                   a scalar or a row count
 * and its answer an int64 and the bytes of every 'b', in order. Ends with 0 at the end of stdin, 1 for anything unexpected.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_ = 128, SLOTS_MAX = 64 };

static int get(void *into, size_t size) { return fread(into, 1, size, stdin) == size ? 0 : -1; }

static int put(const void *from, size_t size) { return fwrite(from, 1, size, stdout) == size ? 0 : -1; }

/* Each buffer has an allocation of its own of exactly its size, on a boundary of 8 bytes. */
static int read_slots(uint32_t count, uint64_t slots[], uint64_t sizes[], uint8_t kinds[]) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t viewed;
        sizes[i] = 0;
        if (get(&kinds[i], 1) < 0) return -1;
        switch (kinds[i]) {
        case 'b':
            if (get(&sizes[i], 8) < 0) return -1;
            slots[i] = (uint64_t)(uintptr_t)malloc(sizes[i] ? sizes[i] : 1);
            if (slots[i] == 0 || get((void *)(uintptr_t)slots[i], sizes[i]) < 0) return -1;
            break;
        case 'v':
            if (get(&viewed, 4) < 0 || viewed >= i) return -1;
            slots[i] = slots[viewed];
            break;
        case 's':
            if (get(&slots[i], 8) < 0) return -1;
            break;
        default:
            return -1;
        }
    }
    return 0;
}

static int serve_one(void *library, uint32_t length) {
    char name[NAME_MAX_ + 1];
    uint32_t count;
    uint64_t slots[SLOTS_MAX], sizes[SLOTS_MAX];
    uint8_t kinds[SLOTS_MAX];
    if (length > NAME_MAX_ || get(name, length) < 0 || get(&count, 4) < 0 || count > SLOTS_MAX) return -1;
    name[length] = 0;
    int64_t (*kernel)(uint64_t *) = (int64_t (*)(uint64_t *))dlsym(library, name);
    if (kernel == NULL || read_slots(count, slots, sizes, kinds) < 0) return -1;
    int64_t result = kernel(slots);
    int failed = put(&result, 8) < 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kinds[i] != 'b') continue;
        failed = failed || put((void *)(uintptr_t)slots[i], sizes[i]) < 0;
        free((void *)(uintptr_t)slots[i]);
    }
    return failed || fflush(stdout) != 0 ? -1 : 0;
}

int main(int count, char **arguments) {
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    uint32_t length;
    if (library == NULL) {
        fprintf(stderr, "cannot load the library: %s\n", count == 2 ? dlerror() : "name it");
        return 1;
    }
    while (get(&length, 4) == 0)
        if (serve_one(library, length) < 0) return 1;
    return 0;
}
