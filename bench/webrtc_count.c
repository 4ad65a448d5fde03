/* Counts the RTP packets that many viewers' sockets receive; decrypts nothing, answers nothing.
 *
 * Compiled by bench/webrtc_viewers.py, which has opened and connected the sockets. Lost packets are gaps in the
 * sequence numbers of each SSRC, which SRTP leaves in clear (RFC 3711 §3.1).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 2048
#define SSRCS 4

struct stream {
    uint32_t ssrc;
    uint16_t last;
    uint64_t packets, expected;
};

struct viewer {
    int32_t fd;
    int32_t streams;
    uint64_t packets, bytes, late; /* late: came after one with a higher number */
    struct stream stream[SSRCS];
};

struct mark { /* the last packet of a picture arrived */
    uint32_t viewer, ssrc, timestamp, unused;
    int64_t at; /* CLOCK_MONOTONIC, ns */
};

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void note(struct viewer *viewer, const uint8_t *data, unsigned size) {
    uint32_t ssrc = (uint32_t)data[8] << 24 | data[9] << 16 | data[10] << 8 | data[11];
    uint16_t sequence = (uint16_t)(data[2] << 8 | data[3]);
    struct stream *stream = NULL;
    viewer->packets++;
    viewer->bytes += size;
    for (int i = 0; i < viewer->streams; i++)
        if (viewer->stream[i].ssrc == ssrc) stream = &viewer->stream[i];
    if (!stream) {
        if (viewer->streams == SSRCS) return;
        stream = &viewer->stream[viewer->streams++];
        stream->ssrc = ssrc;
        stream->last = sequence;
        stream->packets = stream->expected = 1;
        return;
    }
    int16_t step = (int16_t)(sequence - stream->last);
    stream->packets++;
    if (step > 0) {
        stream->expected += step;
        stream->last = sequence;
    } else {
        viewer->late++;
    }
}

/* Receive for `seconds`. Marks of video (payload types other than `audio`) go to `marks`, at most `most`, if that is
 * not 0; returns how many, or -errno. Packets of less than 12 bytes, STUN, DTLS and RTCP do not count (RFC 7983, 5761). */
int64_t count(struct viewer *viewers, int32_t amount, double seconds, int32_t audio, struct mark *marks, int64_t most) {
    static uint8_t buffers[BATCH][SIZE];
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    struct epoll_event events[256];
    int64_t marked = 0, end = now_ns() + (int64_t)(seconds * 1e9);
    int epoll = epoll_create1(0);
    if (epoll < 0) return -errno;
    for (int32_t i = 0; i < amount; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, viewers[i].fd, &event) < 0) return -errno;
    }
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        pieces[i].iov_base = buffers[i];
        pieces[i].iov_len = SIZE;
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        int64_t now = now_ns();
        if (now >= end) break;
        int ready = epoll_wait(epoll, events, 256, most ? (int)((end - now) / 1000000) + 1 : 0);
        if (!ready && !most) {
            /* On loopback the sender pays for waking a receiver that waits in epoll, which no server on a network does. */
            usleep(1000);
            continue;
        }
        for (int e = 0; e < ready; e++) {
            struct viewer *viewer = &viewers[events[e].data.u32];
            int got = recvmmsg(viewer->fd, messages, BATCH, MSG_DONTWAIT, NULL);
            int64_t at = most ? now_ns() : 0;
            for (int m = 0; m < got; m++) {
                const uint8_t *data = buffers[m];
                unsigned size = messages[m].msg_len;
                if (size < 12 || data[0] >> 6 != 2 || (data[1] >= 192 && data[1] <= 223)) continue;
                note(viewer, data, size);
                if (marked < most && data[1] & 0x80 && (data[1] & 0x7f) != audio) {
                    struct mark *mark = &marks[marked++];
                    mark->viewer = events[e].data.u32;
                    mark->ssrc = (uint32_t)data[8] << 24 | data[9] << 16 | data[10] << 8 | data[11];
                    mark->timestamp = (uint32_t)data[4] << 24 | data[5] << 16 | data[6] << 8 | data[7];
                    mark->at = at;
                }
            }
        }
    }
    close(epoll);
    return marked;
}
