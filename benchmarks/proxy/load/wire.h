/* What the three programs share: a clock, non-blocking sockets on 127.0.0.1, whole HTTP messages, prepared requests. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_FDS 65536

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

/* Raise the limit of open files, fire timers when they are due, end with the bench. */
static inline void set_up(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < MOST_FDS ? files.rlim_max : MOST_FDS;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static inline struct sockaddr_in local(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A connected, non-blocking socket. (Connecting on loopback does not wait for the peer's accept.) */
static inline int dial(int port) {
    struct sockaddr_in address = local(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || fd >= MOST_FDS) die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    no_delay(fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

/* A timer that is due every `interval_ns` from now on. */
static inline int every(uint64_t interval_ns) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct timespec pause = {.tv_sec = (time_t)(interval_ns / 1000000000ull), .tv_nsec = (long)(interval_ns % 1000000000ull)};
    struct itimerspec times = {.it_interval = pause, .it_value = pause};
    if (fd < 0 || timerfd_settime(fd, 0, &times, NULL) < 0) die("timerfd");
    return fd;
}

/* Length of the whole message at the start of `data`, or 0 while it is incomplete. `data` ends with a NUL byte. */
static inline size_t message_length(char *data, size_t have) {
    char *end = memmem(data, have, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - data) + 4, length = head;
    char kept = data[head];
    data[head] = 0;
    char *field = strcasestr(data, "\r\ncontent-length:");
    int chunked = field == NULL && strcasestr(data, "\r\ntransfer-encoding:") != NULL;
    if (field != NULL) length += strtoul(field + 17, NULL, 10);
    data[head] = kept;
    if (chunked) {
        char *last = memmem(data + head, have - head, "0\r\n\r\n", 5); /* our bodies hold no such bytes */
        return last == NULL ? 0 : (size_t)(last - data) + 5;
    }
    return have >= length ? length : 0;
}

struct requests {
    char **at;
    size_t *length;
    size_t count, next;
};

/* Read prepared requests: each ends with a NUL byte. */
static inline struct requests prepared(const char *path) {
    struct requests all = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    char *line = NULL;
    size_t room = 0;
    for (ssize_t got; (got = getdelim(&line, &room, 0, file)) > 1; all.count++) {
        all.at = realloc(all.at, (all.count + 1) * sizeof *all.at);
        all.length = realloc(all.length, (all.count + 1) * sizeof *all.length);
        all.at[all.count] = strdup(line);
        all.length[all.count] = (size_t)got - 1;
    }
    fclose(file);
    if (all.count == 0) exit(1);
    return all;
}

/* Write the next request whole; requests are small, so a fresh socket always has room. */
static inline int ask(struct requests *all, int fd) {
    size_t which = all->next++ % all->count;
    return write(fd, all->at[which], all->length[which]) == (ssize_t)all->length[which];
}

static inline int ascending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Microseconds below which `share` of the sorted nanoseconds lie; -1 where there are none. */
static inline double share_us(const uint64_t *sorted, size_t count, double share) {
    if (count == 0) return -1;
    size_t place = (size_t)(share * (double)count);
    return (double)sorted[place < count ? place : count - 1] / 1000;
}
