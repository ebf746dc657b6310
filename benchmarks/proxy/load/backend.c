/* backend PORT...: a replica that costs next to nothing. One epoll loop on all ports.
 *
 * A request gets a small chat completion. One whose body says "stream":true gets server-sent events: the first at once with
 * the head, then one every 10 ms, "max_tokens":N in all, then [DONE]. Streams are spread over ten phases of 1 ms by their
 * start. Prints "ready" when it listens. */
#include "wire.h"

#define PHASES 10
#define ROOM 16384

struct conn {
    char *in;
    size_t have;
    long left; /* events to send; 0: no stream */
    int previous, next; /* in its phase's list, 0: none */
};

static struct conn conns[MOST_FDS];
static int lists[PHASES]; /* first stream of each phase; descriptor 0 is never a connection */
static int phase;

static const char BODY[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"m\",\"status\":\"ok\",\"choices\":"
    "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Water runs downhill.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,\"total_tokens\":14}}";
static char answer[1024], head_and_event[1024], event[512], last[512];
static size_t answer_len, first_len, event_len, last_len;

static size_t as_chunk(char *into, const char *payload) {
    return (size_t)sprintf(into, "%zx\r\n%s\r\n", strlen(payload), payload);
}

static void prepare(void) {
    answer_len = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                                         "Server: backend\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n%s", sizeof BODY - 1, BODY);
    event_len = as_chunk(event, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":"
                                "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" water\"},\"finish_reason\":null}]}\n\n");
    first_len = (size_t)sprintf(head_and_event, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                                "Transfer-Encoding: chunked\r\n\r\n%s", event);
    last_len = as_chunk(last, "data: [DONE]\n\n");
    strcpy(last + last_len, "0\r\n\r\n");
    last_len += 5;
}

static void unlist(int fd, int from) {
    struct conn *c = &conns[fd];
    if (c->previous) conns[c->previous].next = c->next;
    else lists[from] = c->next;
    if (c->next) conns[c->next].previous = c->previous;
    c->previous = c->next = 0;
    c->left = 0;
}

static int phase_of[MOST_FDS];

static void hang_up(int fd) {
    if (conns[fd].left) unlist(fd, phase_of[fd]);
    conns[fd].have = 0;
    close(fd);
}

static void begin_stream(int fd, long events) {
    struct conn *c = &conns[fd];
    c->left = events;
    phase_of[fd] = phase;
    c->previous = 0;
    c->next = lists[phase];
    if (c->next) conns[c->next].previous = fd;
    lists[phase] = fd;
    if (write(fd, head_and_event, first_len) != (ssize_t)first_len) hang_up(fd);
}

static void serve(int fd, char *request, size_t length) {
    char kept = request[length];
    request[length] = 0;
    char *body = strstr(request, "\r\n\r\n") + 4;
    int stream = strstr(body, "\"stream\":true") != NULL || strstr(body, "\"stream\": true") != NULL;
    char *most = strstr(body, "\"max_tokens\":");
    long events = most == NULL ? 10 : strtol(most + 13, NULL, 10);
    request[length] = kept;
    if (stream) begin_stream(fd, events > 0 ? events : 1);
    else if (write(fd, answer, answer_len) != (ssize_t)answer_len) hang_up(fd);
}

static void readable(int fd) {
    struct conn *c = &conns[fd];
    if (c->in == NULL && (c->in = malloc(ROOM + 1)) == NULL) die("malloc");
    ssize_t got = read(fd, c->in + c->have, ROOM - c->have);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        hang_up(fd);
        return;
    }
    c->have += (size_t)got;
    c->in[c->have] = 0;
    for (size_t length; c->have > 0 && (length = message_length(c->in, c->have)) > 0;) {
        size_t rest = c->have - length;
        serve(fd, c->in, length);
        if (c->have == 0) return; /* hung up */
        memmove(c->in, c->in + length, rest + 1);
        c->have = rest;
    }
}

static void tick(void) {
    phase = (phase + 1) % PHASES;
    for (int fd = lists[phase], next; fd; fd = next) {
        next = conns[fd].next;
        int done = --conns[fd].left == 0;
        if (done) unlist(fd, phase);
        size_t length = done ? last_len : event_len;
        ssize_t sent = write(fd, done ? last : event, length);
        if (sent != (ssize_t)length && !(sent < 0 && errno == EAGAIN)) hang_up(fd); /* a reader that is behind misses events */
    }
}

static int listen_on(int port) {
    struct sockaddr_in address = local(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0) die("listen");
    return fd;
}

int main(int argc, char **argv) {
    set_up();
    prepare();
    int epoll = epoll_create1(0), timer = every(1000000), listeners[8], count = 0;
    for (int i = 1; i < argc && count < 8; i++) watch(epoll, listeners[count++] = listen_on(atoi(argv[i])));
    watch(epoll, timer);
    puts("ready");
    fflush(stdout);
    for (struct epoll_event events[512];;) {
        int n = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd, listener = 0;
            for (int l = 0; l < count; l++) listener |= fd == listeners[l];
            if (fd == timer) {
                uint64_t times = 0;
                if (read(timer, &times, sizeof times) < 0) continue;
                while (times-- > 0) tick();
            } else if (listener) {
                for (int made; (made = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                    if (made >= MOST_FDS) { close(made); continue; }
                    no_delay(made);
                    conns[made].have = 0;
                    watch(epoll, made);
                }
            } else {
                readable(fd);
            }
        }
    }
}
