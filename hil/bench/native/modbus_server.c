/* A Modbus TCP server for load, on libmodbus: its tables, its modbus_reply, for many connections at once.
 *
 * Usage: modbus_server [--receive]. Binds 127.0.0.1 on a free port, prints "port N", serves until SIGTERM. Holding and
 * input registers 0-65535 hold their address plus the number of seconds since the start, so that every value changes
 * once a second; coils and discrete inputs are on where the address is divisible by 3.
 *
 * What arrives is read in one piece and cut into requests here, each of which modbus_reply answers; with --receive
 * libmodbus reads each request itself, by modbus_receive: six system calls a request, as in its own examples.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SIZE = 65536, CLIENTS_MAX = 4096, EVENTS = 64, BACKLOG = 1024, RECEIVED_MAX = 8192, HEADER = 6 };

typedef struct {
    int size;
    uint8_t bytes[RECEIVED_MAX];
} client_t;

static volatile sig_atomic_t is_stopping = 0;
static client_t *clients[CLIENTS_MAX]; /* by file descriptor */

static void stop(int number) {
    (void)number;
    is_stopping = 1;
}

static modbus_mapping_t *new_plant(void) {
    modbus_mapping_t *plant = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    if (plant == NULL) return NULL;
    for (int i = 0; i < SIZE; i++) {
        plant->tab_bits[i] = plant->tab_input_bits[i] = i % 3 == 0;
        plant->tab_registers[i] = plant->tab_input_registers[i] = (uint16_t)i;
    }
    return plant;
}

static void change(modbus_mapping_t *plant, int timer) {
    uint64_t seconds;
    if (read(timer, &seconds, sizeof seconds) != sizeof seconds) return;
    for (int i = 0; i < SIZE; i++) {
        plant->tab_registers[i] = (uint16_t)(plant->tab_registers[i] + seconds);
        plant->tab_input_registers[i] = (uint16_t)(plant->tab_input_registers[i] + seconds);
    }
}

static int listen_on_a_free_port(modbus_t *server) {
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    int listener = modbus_tcp_listen(server, BACKLOG);
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&bound, &length) < 0) return -1;
    printf("port %d\n", ntohs(bound.sin_port));
    fflush(stdout);
    return listener;
}

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void let_in(int poll, int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    if (fd >= CLIENTS_MAX || (clients[fd] == NULL && (clients[fd] = malloc(sizeof(client_t))) == NULL)) {
        close(fd);
        return;
    }
    clients[fd]->size = 0;
    watch(poll, fd);
}

/* Answer every whole request that has arrived; returns -1 when the connection is to be closed. */
static int serve_stream(modbus_t *server, int fd, modbus_mapping_t *plant) {
    client_t *client = clients[fd];
    ssize_t arrived = recv(fd, client->bytes + client->size, (size_t)(RECEIVED_MAX - client->size), 0);
    if (arrived <= 0) return -1;
    client->size += (int)arrived;
    int at = 0;
    while (client->size - at > HEADER) {
        int length = HEADER + (client->bytes[at + 4] << 8 | client->bytes[at + 5]);
        if (length <= HEADER + 1 || length > MODBUS_TCP_MAX_ADU_LENGTH) return -1;
        if (client->size - at < length) break;
        if (modbus_reply(server, client->bytes + at, length, plant) < 0) return -1;
        at += length;
    }
    client->size -= at;
    memmove(client->bytes, client->bytes + at, (size_t)client->size);
    return 0;
}

static int serve_one(modbus_t *server, modbus_mapping_t *plant) {
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    int size = modbus_receive(server, request);
    if (size < 0) return -1;
    return size > 0 ? modbus_reply(server, request, size, plant) : 0;
}

static int start_timer(void) {
    struct itimerspec each_second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &each_second, NULL);
    return timer;
}

static void serve(modbus_t *server, int listener, modbus_mapping_t *plant, int is_plain) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0), timer = start_timer();
    watch(poll, listener);
    watch(poll, timer);
    while (!is_stopping) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                let_in(poll, listener);
            } else if (fd == timer) {
                change(plant, timer);
            } else {
                modbus_set_socket(server, fd);
                if ((is_plain ? serve_one(server, plant) : serve_stream(server, fd, plant)) < 0) close(fd);
            }
        }
    }
}

int main(int count, char **arguments) {
    struct sigaction action = {.sa_handler = stop}; /* without SA_RESTART: epoll_wait returns */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    int is_plain = count > 1 && strcmp(arguments[1], "--receive") == 0;
    modbus_t *server = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *plant = new_plant();
    int listener = server == NULL || plant == NULL ? -1 : listen_on_a_free_port(server);
    if (listener < 0) {
        fprintf(stderr, "cannot start: %s\n", modbus_strerror(errno));
        return 1;
    }
    serve(server, listener, plant, is_plain);
    return 0;
}
