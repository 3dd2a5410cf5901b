/* The limit a Modbus client is measured against: 16 requests outstanding, registers to doubles, nothing else.
 *
 * Usage: pipelined PORT TAGS SECONDS. Reads holding registers 0 to TAGS - 1, 125 a request, round and round, and prints
 * {"tags": N, "wall_s": S, "cpu_s": S, "requests": N}. No error is handled but by ending with 1.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OUTSTANDING = 16, PER_REQUEST = 125, REQUEST = 12, HEAD = 9, RECEIVED_MAX = 65536 };

typedef struct {
    int socket;
    int tags;
    int next;           /* first register of the next request */
    uint16_t last_id;   /* transaction id sent last */
    int first[65536];   /* transaction id -> first register; -1 = not open */
    double *value;      /* by register */
    long read;          /* registers */
    long requests;
    int size;
    uint8_t received[RECEIVED_MAX];
} reader_t;

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int connect_to(int port) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

/* Send so many requests in one piece. */
static int ask(reader_t *reader, int count) {
    uint8_t frames[OUTSTANDING * REQUEST];
    for (int i = 0; i < count; i++) {
        int left = reader->tags - reader->next, registers = left < PER_REQUEST ? left : PER_REQUEST;
        uint16_t id = ++reader->last_id, first = (uint16_t)reader->next;
        uint8_t frame[REQUEST] = {(uint8_t)(id >> 8), (uint8_t)id, 0, 0, 0, 6, 1, 3, (uint8_t)(first >> 8), (uint8_t)first,
                                  0, (uint8_t)registers};
        memcpy(frames + i * REQUEST, frame, REQUEST);
        reader->first[id] = first;
        reader->next = left > PER_REQUEST ? reader->next + PER_REQUEST : 0;
    }
    return send(reader->socket, frames, (size_t)(count * REQUEST), 0) == count * REQUEST ? 0 : -1;
}

/* Take every whole answer that has arrived; returns how many, -1 when one is no answer. */
static int take(reader_t *reader) {
    ssize_t arrived = recv(reader->socket, reader->received + reader->size, (size_t)(RECEIVED_MAX - reader->size), 0);
    int at = 0, answers = 0, quick = 1;
    if (arrived <= 0) return -1;
    reader->size += (int)arrived;
    while (reader->size - at >= HEAD) {
        const uint8_t *frame = reader->received + at;
        int id = frame[0] << 8 | frame[1], length = frame[4] << 8 | frame[5], registers = (length - 3) / 2;
        if (reader->size - at < 6 + length) break;
        int first = reader->first[id];
        if (first < 0 || frame[7] != 3 || frame[8] != 2 * registers || first + registers > reader->tags) return -1;
        for (int i = 0; i < registers; i++)
            reader->value[first + i] = (double)(frame[HEAD + 2 * i] << 8 | frame[HEAD + 2 * i + 1]);
        reader->first[id] = -1;
        reader->read += registers;
        answers++;
        at += 6 + length;
    }
    reader->size -= at;
    memmove(reader->received, reader->received + at, (size_t)reader->size);
    if (!answers) setsockopt(reader->socket, IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof quick);
    return answers;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    static reader_t reader;
    reader.tags = atoi(arguments[2]);
    reader.value = calloc((size_t)reader.tags, sizeof(double));
    memset(reader.first, 0xff, sizeof reader.first);
    reader.socket = connect_to(atoi(arguments[1]));
    if (reader.socket < 0 || reader.value == NULL) return 1;
    double started = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end = started + atof(arguments[3]);
    int answers = OUTSTANDING;
    while (now(CLOCK_MONOTONIC) < end) {
        if (answers && ask(&reader, answers) < 0) return 1;
        answers = take(&reader);
        if (answers < 0) return 1;
        reader.requests += answers;
    }
    printf("{\"tags\": %ld, \"wall_s\": %.6f, \"cpu_s\": %.6f, \"requests\": %ld}\n", reader.read,
           now(CLOCK_MONOTONIC) - started, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, reader.requests);
    close(reader.socket);
    return 0;
}
