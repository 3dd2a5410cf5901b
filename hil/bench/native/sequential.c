/* libmodbus' own client, one request after the other: modbus_read_registers, 125 at a time, registers to doubles.
 *
 * Usage: sequential PORT TAGS SECONDS. Reads holding registers 0 to TAGS - 1 round and round, and prints
 * {"tags": N, "wall_s": S, "cpu_s": S, "requests": N}.
 */
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PER_REQUEST = 125 };

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    int tags = atoi(arguments[2]);
    double *value = calloc((size_t)tags, sizeof(double));
    modbus_t *server = modbus_new_tcp("127.0.0.1", atoi(arguments[1]));
    if (value == NULL || server == NULL || modbus_connect(server) < 0) return 1;
    modbus_set_slave(server, 1);
    double started = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end = started + atof(arguments[3]);
    long read = 0, requests = 0;
    int first = 0;
    while (now(CLOCK_MONOTONIC) < end) {
        uint16_t registers[PER_REQUEST];
        int wanted = tags - first < PER_REQUEST ? tags - first : PER_REQUEST;
        if (modbus_read_registers(server, first, wanted, registers) != wanted) return 1;
        for (int i = 0; i < wanted; i++) value[first + i] = registers[i];
        read += wanted;
        requests++;
        first = first + wanted < tags ? first + wanted : 0;
    }
    printf("{\"tags\": %ld, \"wall_s\": %.6f, \"cpu_s\": %.6f, \"requests\": %ld}\n", read,
           now(CLOCK_MONOTONIC) - started, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, requests);
    modbus_close(server);
    modbus_free(server);
    return 0;
}
