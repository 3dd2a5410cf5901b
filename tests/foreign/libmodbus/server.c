/* A Modbus server on libmodbus, for tests: a peer that shares no line with gatewayd.
 *
 * Binds 127.0.0.1 on a free port and prints "port N"; with arguments PATH UNIT it is that unit on the serial port PATH,
 * 19200 8N1, and prints "port 0". After each write it performed it prints
 * "write FUNCTION ADDRESS COUNT". On SIGTERM it prints "requests N" and exits with 0.
 *
 * Holding and input registers hold their own address (0-9999) but for the blocks below; coils are on where the address is
 * divisible by 3, discrete inputs where it is divisible by 5. Reading the single holding register 9000 + C answers with
 * exception C, writing it too.
 *
 *   100 + 20 * ORDER (ORDER 0 ABCD, 1 BADC, 2 CDAB, 3 DCBA), in holding and in input registers alike:
 *     +0 int16 -12345   +1 uint16 54321   +2 int32 -123456789   +4 uint32 4123456789   +6 float32 -273.15
 *     +8 int64 -1234567890123456768   +12 uint64 12345678901234567168   +16 float64 -6.02214076e23
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 10000, EXCEPTIONS_AT = 9000, PATTERNS_AT = 100, PATTERN_SIZE = 20 };

static volatile sig_atomic_t is_stopping = 0;

static void stop(int number) {
    (void)number;
    is_stopping = 1;
}

static uint16_t swapped(uint16_t word) { return (uint16_t)(word << 8 | word >> 8); }

/* Put `bits`, `words` registers long, in the order ABCD 0, BADC 1, CDAB 2, DCBA 3.
 *
 * Not by modbus_set_float_abcd and its kin: up to libmodbus 3.1.6 they swap the bytes of each register on little-endian
 * machines. */
static void put(uint16_t *at, uint64_t bits, int words, int order) {
    for (int i = 0; i < words; i++) {
        int from_low = order < 2 ? words - 1 - i : i;
        uint16_t word = (uint16_t)(bits >> 16 * from_low);
        at[i] = order == 1 || order == 3 ? swapped(word) : word;
    }
}

static void put_patterns(uint16_t *registers) {
    float zero_kelvin = -273.15f;
    double avogadro = -6.02214076e23;
    uint32_t zero_kelvin_bits;
    uint64_t avogadro_bits;
    memcpy(&zero_kelvin_bits, &zero_kelvin, sizeof zero_kelvin_bits);
    memcpy(&avogadro_bits, &avogadro, sizeof avogadro_bits);
    for (int order = 0; order < 4; order++) {
        uint16_t *at = registers + PATTERNS_AT + PATTERN_SIZE * order;
        put(at, (uint16_t)(int16_t)-12345, 1, order);
        put(at + 1, 54321, 1, order);
        put(at + 2, (uint32_t)(int32_t)-123456789, 2, order);
        put(at + 4, 4123456789u, 2, order);
        put(at + 6, zero_kelvin_bits, 2, order);
        put(at + 8, (uint64_t)INT64_C(-1234567890123456768), 4, order);
        put(at + 12, UINT64_C(12345678901234567168), 4, order);
        put(at + 16, avogadro_bits, 4, order);
    }
}

static modbus_mapping_t *new_plant(void) {
    modbus_mapping_t *plant = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    if (plant == NULL) return NULL;
    for (int i = 0; i < SIZE; i++) {
        plant->tab_bits[i] = i % 3 == 0;
        plant->tab_input_bits[i] = i % 5 == 0;
        plant->tab_registers[i] = plant->tab_input_registers[i] = (uint16_t)i;
    }
    put_patterns(plant->tab_registers);
    put_patterns(plant->tab_input_registers);
    return plant;
}

static int word_at(const uint8_t *bytes) { return bytes[0] << 8 | bytes[1]; }

/* Answer one request; returns -1 when the connection is to be closed. */
static int answer(modbus_t *server, const uint8_t *request, int size, modbus_mapping_t *plant) {
    const uint8_t *pdu = request + modbus_get_header_length(server);
    int function = pdu[0], address = word_at(pdu + 1), second = word_at(pdu + 3);
    int is_single = function == 6 || ((function == 3 || function == 16) && second == 1);
    if (is_single && address > EXCEPTIONS_AT && address < EXCEPTIONS_AT + 100)
        return modbus_reply_exception(server, request, (unsigned)(address - EXCEPTIONS_AT));
    int sent = modbus_reply(server, request, size, plant);
    int is_exception = sent >= 0 && sent <= modbus_get_header_length(server) + 2;
    if (!is_exception && (function == 5 || function == 6)) printf("write %d %d 1\n", function, address);
    if (!is_exception && (function == 15 || function == 16)) printf("write %d %d %d\n", function, address, second);
    return sent;
}

static int listen_on_a_free_port(modbus_t *server) {
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    int listener = modbus_tcp_listen(server, 8);
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&bound, &length) < 0) return -1;
    printf("port %d\n", ntohs(bound.sin_port));
    return listener;
}

static void serve(modbus_t *server, int listener, modbus_mapping_t *plant, long *requests) {
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    fd_set open_sockets, ready;
    int highest = listener;
    FD_ZERO(&open_sockets);
    FD_SET(listener, &open_sockets);
    while (!is_stopping) {
        ready = open_sockets;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0) continue;
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0 || client >= FD_SETSIZE) continue;
                FD_SET(client, &open_sockets);
                if (client > highest) highest = client;
                continue;
            }
            modbus_set_socket(server, fd);
            int size = modbus_receive(server, request);
            if (size > 0) ++*requests;
            if (size < 0 || (size > 0 && answer(server, request, size, plant) < 0)) {
                close(fd);
                FD_CLR(fd, &open_sockets);
            }
        }
    }
}

/* Be one unit of a serial bus. A frame that cannot be read is left to the master's timeout, as the standard wants. */
static void serve_bus(modbus_t *server, modbus_mapping_t *plant, long *requests) {
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_set_indication_timeout(server, 0, 100000); /* it goes on waiting after a signal, so it has to look by itself */
    while (!is_stopping) {
        int size = modbus_receive(server, request); /* 0: for another unit */
        if (size > 0) ++*requests;
        if (size > 0) answer(server, request, size, plant);
        if (size < 0 && errno == EIO) break; /* the other end of a pty is gone */
        if (size < 0 && errno != ETIMEDOUT) modbus_flush(server);
    }
}

static int open_bus(modbus_t *server, const char *unit) {
    if (server == NULL || modbus_set_slave(server, atoi(unit)) < 0 || modbus_connect(server) < 0) return -1;
    printf("port 0\n");
    return 0;
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever started it may be killed before it can stop it */
    struct sigaction action = {.sa_handler = stop}; /* without SA_RESTART: select returns */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);

    long requests = 0;
    int is_bus = count == 3;
    modbus_t *server = is_bus ? modbus_new_rtu(arguments[1], 19200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *plant = new_plant();
    int listener = -1;
    if (server != NULL && plant != NULL) listener = is_bus ? open_bus(server, arguments[2]) : listen_on_a_free_port(server);
    if (listener < 0) {
        fprintf(stderr, "cannot start: %s\n", modbus_strerror(errno));
        return 1;
    }
    if (is_bus)
        serve_bus(server, plant, &requests);
    else
        serve(server, listener, plant, &requests);
    printf("requests %ld\n", requests);
    modbus_mapping_free(plant);
    modbus_free(server);
    return 0;
}
