/* paced PORT RATE SECONDS REQUESTS: send RATE requests a second, whether or not answers come (an open loop).
 *
 * Each request goes out on an idle connection, or on a fresh one where none is idle; its time runs from the write to the last
 * byte of the answer. The first half second is not counted. Prints one JSON object. */
#include "wire.h"

#define ROOM 16384

static struct { uint64_t sent_ns; size_t have; char in[ROOM + 1]; } *conns[MOST_FDS];
static int idle[MOST_FDS], idle_count;

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    set_up();
    int port = atoi(argv[1]), epoll = epoll_create1(0);
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    struct requests requests = prepared(argv[4]);
    uint64_t interval = (uint64_t)(1e9 / rate), started = now_ns(), counted_from = started + 500000000ull;
    uint64_t end = counted_from + (uint64_t)(seconds * 1e9), *took = calloc((size_t)(rate * seconds * 2) + 1024, sizeof *took);
    size_t count = 0, errors = 0, most = (size_t)(rate * seconds * 2) + 1024, open = 0, connections = 0;
    int timer = every(interval);
    watch(epoll, timer);
    while (now_ns() < end || open > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 1000);
        if (n == 0 && now_ns() > end) break; /* what has not come by now is an error */
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == timer) {
                uint64_t times = 0;
                if (read(timer, &times, sizeof times) < 0) continue;
                for (; times > 0 && now_ns() < end; times--) {
                    int on = idle_count > 0 ? idle[--idle_count] : -1;
                    if (on < 0) {
                        on = dial(port);
                        if (conns[on] == NULL) conns[on] = calloc(1, sizeof **conns);
                        watch(epoll, on);
                        connections++;
                    }
                    conns[on]->have = 0;
                    conns[on]->sent_ns = now_ns();
                    if (!ask(&requests, on)) die("write");
                    open++;
                }
                continue;
            }
            ssize_t got = read(fd, conns[fd]->in + conns[fd]->have, ROOM - conns[fd]->have);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { /* also an idle connection that was closed */
                int was_idle = 0;
                for (int k = 0; k < idle_count; k++)
                    if (idle[k] == fd) { idle[k] = idle[--idle_count]; was_idle = 1; }
                if (!was_idle) { errors++; open--; }
                close(fd);
                continue;
            }
            conns[fd]->have += (size_t)got;
            conns[fd]->in[conns[fd]->have] = 0;
            if (message_length(conns[fd]->in, conns[fd]->have) == 0) continue;
            uint64_t now = now_ns();
            if (strncmp(conns[fd]->in + 8, " 200", 4) != 0) errors++;
            else if (conns[fd]->sent_ns >= counted_from && count < most) took[count++] = now - conns[fd]->sent_ns;
            idle[idle_count++] = fd;
            open--;
        }
    }
    qsort(took, count, sizeof *took, ascending);
    printf("{\"count\": %zu, \"errors\": %zu, \"connections\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", count, errors + open,
           connections, share_us(took, count, 0.5), share_us(took, count, 0.99));
    return 0;
}
