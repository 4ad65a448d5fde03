/* Reads what many viewers of a chat receive, and counts how late each message is.
 *
 * Compiled by bench/chat_load.py, which has opened the sockets and registered them, edge-triggered. Frames are not
 * parsed: a message carries "@@" and, in 16 digits, the moment in microseconds of CLOCK_MONOTONIC at which it was sent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define STAMP 18
#define SIZE 262144 /* more than can wait for one viewer: each is read once when it becomes ready */
#define NAP_NS 200000

struct viewer {
    int32_t kept; /* the beginning of a stamp whose end has not come yet */
    char rest[20];
};

struct counts {
    int64_t received, lost, buckets, bucket_us;
    uint64_t *late; /* one more than `buckets`: what is later than the last is counted there */
};

static int64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void look(struct viewer *viewer, const char *data, size_t size, struct counts *counts) {
    const char *end = data + size;
    int64_t now = now_us();
    for (;;) {
        const char *mark = memmem(data, (size_t)(end - data), "@@", 2);
        if (!mark && data < end && end[-1] == '@') mark = end - 1;
        if (!mark) return;
        if (end - mark < STAMP) {
            viewer->kept = (int32_t)(end - mark);
            memcpy(viewer->rest, mark, (size_t)(end - mark));
            return;
        }
        int64_t sent = 0;
        for (int i = 2; i < STAMP; i++) sent = sent * 10 + (mark[i] - '0');
        int64_t bucket = (now - sent) / counts->bucket_us;
        counts->late[bucket < counts->buckets ? bucket : counts->buckets]++;
        counts->received++;
        data = mark + STAMP;
    }
}

/* Read until `until_us`, or, if `wanted` is not 0, until so many messages have come in all. `viewers` are found by
 * their socket. -errno when waiting fails. */
int64_t drain(int32_t epoll, struct viewer *viewers, struct counts *counts, int64_t until_us, int64_t wanted) {
    static char buffer[STAMP + SIZE];
    struct epoll_event events[256];
    while (now_us() < until_us && (!wanted || counts->received < wanted)) {
        int ready = epoll_wait(epoll, events, 256, 0);
        if (ready < 0 && errno != EINTR) return -errno;
        if (ready <= 0) {
            /* On loopback the sender pays for waking a receiver that waits in epoll, which no server on a network does. */
            struct timespec nap = {0, NAP_NS};
            nanosleep(&nap, NULL);
            continue;
        }
        for (int e = 0; e < ready; e++) {
            int32_t fd = events[e].data.fd;
            struct viewer *viewer = &viewers[fd];
            size_t kept = (size_t)viewer->kept;
            memcpy(buffer, viewer->rest, kept);
            ssize_t got = recv(fd, buffer + kept, SIZE, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (got <= 0) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
                counts->lost++;
                continue;
            }
            viewer->kept = 0;
            look(viewer, buffer, kept + (size_t)got, counts);
        }
    }
    return 0;
}
