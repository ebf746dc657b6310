/* streams PORT COUNT RAMP_SECONDS SECONDS REQUESTS: keep COUNT event streams open; one that ends is followed by the next.
 *
 * Streams start evenly over RAMP_SECONDS, then "begin" is printed, and SECONDS later one JSON object about the time between:
 * events received, answers' time to the first body byte, errors. */
#include "wire.h"

static struct conn {
    uint64_t sent_ns;
    int in_body, status_ok;
    char tail[5]; /* the last bytes seen: finds separators that are split between reads */
} conns[MOST_FDS];
static struct requests requests;
static uint64_t *ttft;
static size_t answers, most_answers, events_seen, errors;
static int counting, epoll;

static void start(int fd) {
    struct conn *c = &conns[fd];
    c->in_body = 0;
    memset(c->tail, 0, sizeof c->tail);
    c->sent_ns = now_ns();
    if (!ask(&requests, fd)) die("write");
}

/* Count the ends of events ("\n\n") in what came, also one that is split between two reads. */
static void count_events(struct conn *c, const char *data, size_t length) {
    if (!counting) return;
    if (c->tail[4] == '\n' && data[0] == '\n') events_seen++;
    for (const char *at = data, *end = data + length; (at = memchr(at, '\n', (size_t)(end - at))) != NULL && at + 1 < end; at++)
        if (at[1] == '\n') events_seen++;
}

static void remember(struct conn *c, const char *data, size_t length) {
    if (length >= 5) memcpy(c->tail, data + length - 5, 5);
    else {
        memmove(c->tail, c->tail + length, 5 - length);
        memcpy(c->tail + 5 - length, data, length);
    }
}

static void received(int fd, char *data, size_t length) {
    struct conn *c = &conns[fd];
    if (!c->in_body) { /* heads come in one piece here; a body may follow in the same read or in the next */
        char *end = memmem(data, length, "\r\n\r\n", 4);
        if (c->status_ok == 0) {
            if (end == NULL || strncmp(data + 8, " 200", 4) != 0) {
                errors++;
                close(fd);
                return;
            }
            c->status_ok = 1;
            size_t head = (size_t)(end - data) + 4;
            data += head;
            length -= head;
        }
        if (length == 0) return;
        c->in_body = 1;
        if (counting && answers < most_answers) ttft[answers++] = now_ns() - c->sent_ns;
    }
    count_events(c, data, length);
    remember(c, data, length);
    if (memcmp(c->tail, "0\r\n\r\n", 5) == 0) {
        c->status_ok = 0;
        start(fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    set_up();
    int port = atoi(argv[1]), wanted = atoi(argv[2]), made = 0, failed = 0;
    double ramp = atof(argv[3]), seconds = atof(argv[4]);
    requests = prepared(argv[5]);
    most_answers = (size_t)(wanted * (seconds + 1) * 100);
    ttft = calloc(most_answers, sizeof *ttft);
    epoll = epoll_create1(0);
    uint64_t started = now_ns(), begin = started + (uint64_t)(ramp * 1e9), end = begin + (uint64_t)(seconds * 1e9), began = 0;
    for (uint64_t now = started; now < end && !failed; now = now_ns()) {
        for (; made < wanted && now >= started + (uint64_t)(ramp * 0.9e9 * made / wanted); made++) {
            int fd = dial(port);
            watch(epoll, fd);
            start(fd);
        }
        if (!began && now >= begin) {
            puts("begin");
            fflush(stdout);
            began = now_ns();
            counting = 1;
        }
        struct epoll_event events[512];
        int n = epoll_wait(epoll, events, 512, 1);
        for (int i = 0; i < n; i++) {
            static char data[65536];
            ssize_t got = read(events[i].data.fd, data, sizeof data);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                errors++;
                close(events[i].data.fd);
                continue;
            }
            received(events[i].data.fd, data, (size_t)got);
        }
        failed = errors > 0 && errors >= (size_t)wanted;
    }
    double took = began ? (double)(now_ns() - began) / 1e9 : 0;
    qsort(ttft, answers, sizeof *ttft, ascending);
    printf("{\"seconds\": %.3f, \"events\": %zu, \"answers\": %zu, \"errors\": %zu, \"ttft_p50_us\": %.1f, \"ttft_p99_us\": %.1f}\n",
           took, events_seen, answers, errors, share_us(ttft, answers, 0.5), share_us(ttft, answers, 0.99));
    return 0;
}
