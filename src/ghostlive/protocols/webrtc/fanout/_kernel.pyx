# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True
"""The native kernel: `Kernel` of `types.py` in C on libcrypto, without the GIL where it sends.

No byte of a peer is parsed here. `twin.py` says the same in Python; the tests compare the two byte for byte.

How a burst goes out: for each viewer, its packets are written and encrypted one behind the other into one buffer. What
is of equal size, and one smaller packet behind it, makes a train: one message with UDP_SEGMENT, which the operating
system cuts into datagrams. Trains of many viewers are handed over by one sendmmsg.

Specifications: RFC 3711 §4.1.1 and §4.2.1 (counter mode, HMAC-SHA1), RFC 7714 §8.1 (AES-GCM), RFC 8285 §4.2.
"""

cimport cython
from libc.errno cimport (
    EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS, ENOMEM, EPROTO, errno
)
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

import os
import socket

from ghostlive.protocols.webrtc.fanout.types import (
    MAX_PAYLOAD, PATIENCE_US, KernelStats, SendResult, socket_address, source_of
)
from ghostlive.protocols.webrtc.srtp import Profile, derive

cdef extern from * nogil:
    """
    #include <netinet/in.h>
    #include <netinet/udp.h>
    #include <openssl/crypto.h>
    #include <openssl/evp.h>
    #include <openssl/core_names.h>
    #include <openssl/params.h>
    #include <poll.h>
    #include <sys/socket.h>
    #include <time.h>

    #ifndef SOL_UDP
    #define SOL_UDP IPPROTO_UDP
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif

    typedef union { struct sockaddr_in v4; struct sockaddr_in6 v6; } fanout_address;
    /* A control message that says from which address to send; none when it has no length. */
    typedef struct { int level; int type; unsigned int length; unsigned char data[20]; } fanout_source;
    typedef union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(unsigned short)) + CMSG_SPACE(sizeof ((fanout_source *)0)->data)];
    } fanout_control;

    static void fanout_store32(unsigned char *to, uint32_t value) {
        value = htonl(value);
        memcpy(to, &value, 4);
    }
    static void fanout_store16(unsigned char *to, uint16_t value) {
        value = htons(value);
        memcpy(to, &value, 2);
    }
    /* One message: a datagram, or a train of datagrams of `segment` bytes each when that is not 0. */
    static void fanout_message(struct msghdr *message, struct iovec *vector, fanout_control *control,
                               fanout_address *to, socklen_t to_length, const fanout_source *from,
                               unsigned char *data, size_t length, unsigned short segment) {
        struct cmsghdr *head = &control->align;
        size_t used = 0;
        memset(message, 0, sizeof *message);
        vector->iov_base = data;
        vector->iov_len = length;
        message->msg_name = to;
        message->msg_namelen = to_length;
        message->msg_iov = vector;
        message->msg_iovlen = 1;
        if (segment) {
            head->cmsg_level = SOL_UDP;
            head->cmsg_type = UDP_SEGMENT;
            head->cmsg_len = CMSG_LEN(sizeof segment);
            memcpy(CMSG_DATA(head), &segment, sizeof segment);
            used = CMSG_SPACE(sizeof segment);
            head = (struct cmsghdr *)(control->bytes + used);
        }
        if (from->length) {
            head->cmsg_level = from->level;
            head->cmsg_type = from->type;
            head->cmsg_len = CMSG_LEN(from->length);
            memcpy(CMSG_DATA(head), from->data, from->length);
            used += CMSG_SPACE(from->length);
        }
        if (used) {
            message->msg_control = control;
            message->msg_controllen = used;
        }
    }
    static int fanout_can_segment(int fd) {
        int value = 0;
        socklen_t length = sizeof value;
        return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, &length) == 0;
    }
    static socklen_t fanout_v4(fanout_address *to, const unsigned char *host, int port) {
        memset(to, 0, sizeof *to);
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons((uint16_t)port);
        memcpy(&to->v4.sin_addr, host, 4);
        return sizeof to->v4;
    }
    static socklen_t fanout_v6(fanout_address *to, const unsigned char *host, int port, uint32_t scope) {
        memset(to, 0, sizeof *to);
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons((uint16_t)port);
        to->v6.sin6_scope_id = scope;
        memcpy(&to->v6.sin6_addr, host, 16);
        return sizeof to->v6;
    }
    static int64_t fanout_now_us(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    }
    static void fanout_wait(int fd, int64_t patience_us, int below) {
        if (below) {  /* the socket has room, but what is below it has not: there is nothing to wait for */
            struct timespec pause = {0, 200000};
            nanosleep(&pause, NULL);
        } else {
            struct pollfd waiting = {fd, POLLOUT, 0};
            poll(&waiting, 1, (int)(patience_us / 1000) + 1);
        }
    }
    """
    int EHOSTDOWN
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    ctypedef unsigned int socklen_t
    struct iovec:
        pass
    struct msghdr:
        pass
    struct mmsghdr:
        msghdr msg_hdr
    int sendmmsg(int, mmsghdr *, unsigned int, int)
    ctypedef struct fanout_address:
        pass
    ctypedef struct fanout_control:
        pass
    ctypedef struct fanout_source:
        int level
        int type
        unsigned int length
        uint8_t data[20]
    void fanout_store32(uint8_t *, uint32_t)
    void fanout_store16(uint8_t *, uint16_t)
    void fanout_message(
        msghdr *, iovec *, fanout_control *, fanout_address *, socklen_t, const fanout_source *, uint8_t *, size_t,
        uint16_t
    )
    int fanout_can_segment(int)
    socklen_t fanout_v4(fanout_address *, const uint8_t *, int)
    socklen_t fanout_v6(fanout_address *, const uint8_t *, int, uint32_t)
    int64_t fanout_now_us()
    void fanout_wait(int, int64_t, int)

    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_MAC:
        pass
    ctypedef struct EVP_MAC_CTX:
        pass
    ctypedef struct OSSL_PARAM:
        pass
    ctypedef struct OSSL_LIB_CTX:
        pass
    int EVP_CTRL_AEAD_GET_TAG
    const EVP_CIPHER *EVP_aes_128_gcm()
    const EVP_CIPHER *EVP_aes_128_ctr()
    EVP_CIPHER_CTX *EVP_CIPHER_CTX_new()
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *)
    int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const uint8_t *, const uint8_t *)
    int EVP_EncryptUpdate(EVP_CIPHER_CTX *, uint8_t *, int *, const uint8_t *, int)
    int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *, uint8_t *, int *)
    int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *)
    EVP_MAC *EVP_MAC_fetch(OSSL_LIB_CTX *, const char *, const char *)
    void EVP_MAC_free(EVP_MAC *)
    EVP_MAC_CTX *EVP_MAC_CTX_new(EVP_MAC *)
    void EVP_MAC_CTX_free(EVP_MAC_CTX *)
    int EVP_MAC_init(EVP_MAC_CTX *, const uint8_t *, size_t, const OSSL_PARAM *)
    int EVP_MAC_update(EVP_MAC_CTX *, const uint8_t *, size_t)
    int EVP_MAC_final(EVP_MAC_CTX *, uint8_t *, size_t *, size_t)
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char *, char *, size_t)
    OSSL_PARAM OSSL_PARAM_construct_end()
    void OPENSSL_cleanse(void *, size_t)

cdef enum:
    MESSAGES = 64  # handed over by one call
    SEGMENTS = 64  # UDP_MAX_SEGMENTS
    TRAIN = 65000  # bytes of one message
    OVERHEAD = 64 + 64 + 16  # of a packet at most: header, padding, tag
    LARGEST = 4096 + OVERHEAD
    BUFFER = 256 * 1024  # fits a core's second cache with room for what is read
    HELD = 8  # MAX_HELD
    PADDING = 64  # MAX_PADDING
    SENT = 1024  # SENT_KEPT
    HEADER = 40  # 12 + 4 + 4 + 3 + 17, in whole words

cdef struct Slice:
    const uint8_t *data
    int size

cdef struct Moment:
    int64_t us
    uint32_t stamp  # for abs-send-time: seconds with 18 bits behind the point, modulo 64 s

cdef struct Train:  # packets of one lane with one timestamp
    uint64_t serial
    int64_t index
    uint32_t timestamp
    bint marker
    int count
    Slice *payloads

cdef struct Header:  # how a packet begins; numbers and times are written over it
    uint8_t start[HEADER]
    int length
    int send_time  # where that stands; 0: nowhere
    int number
    uint32_t ssrc

cdef struct Sent:
    uint32_t number  # one more than the transport-wide sequence number; 0: none
    uint32_t size
    int64_t time_us

cdef struct Lane:
    Viewer **viewers
    Py_ssize_t count
    Py_ssize_t room
    Py_ssize_t turn  # where the next burst begins: with those who went short the last time
    uint64_t serial  # of the burst that was held last
    int holding
    Train held[HELD]

cdef struct Bound:
    Lane *lane
    int64_t lane_number
    Py_ssize_t place  # in the lane
    int64_t sequence_offset
    uint32_t timestamp_offset
    uint64_t served  # serial of the last held burst that the viewer got or does not get
    Header header

cdef struct Viewer:
    fanout_address address
    socklen_t address_length  # 0: takes no datagrams
    fanout_source source
    bint whole  # may get trains
    bint gcm
    uint8_t salt[16]
    EVP_CIPHER_CTX *cipher
    EVP_MAC_CTX *mac
    uint16_t transport_sequence
    Sent *ring
    int lanes
    Bound *bounds

cdef struct Message:
    Viewer *viewer
    uint8_t *data
    int length
    int segment
    int packets
    bint closed  # its last packet is smaller


cdef int write_header(Header *header, like) except -1:
    """The header that a `Binding` or a `Packet` asks for."""
    cdef int at = 16, send_time_id = like.abs_send_time_id, number_id = like.transport_sequence_id, mid_id = like.mid_id
    cdef bytes mid = like.mid
    cdef int mid_length = len(mid)
    cdef uint32_t ssrc = like.ssrc
    memset(header, 0, sizeof(Header))
    header.ssrc = ssrc
    header.start[0] = 0x80
    header.start[1] = like.payload_type
    fanout_store32(header.start + 8, ssrc)
    header.length = 12
    if send_time_id:
        header.start[at] = send_time_id << 4 | 2
        header.send_time = at + 1
        at += 4
    if number_id:
        header.start[at] = number_id << 4 | 1
        header.number = at + 1
        at += 3
    if mid_id:
        header.start[at] = mid_id << 4 | (mid_length - 1)
        memcpy(header.start + at + 1, <const uint8_t *>mid, mid_length)
        at += 1 + mid_length
    if at > 16:
        at = (at + 3) & ~3
        header.start[0] = 0x90
        header.start[12] = 0xBE
        header.start[13] = 0xDE
        fanout_store16(header.start + 14, (at - 16) >> 2)
        header.length = at
    return 0


cdef int seal(
    Viewer *viewer, const Header *header, uint64_t sequence, uint32_t timestamp, bint marker, Slice payload,
    int padding, Moment now, uint8_t *to,
) noexcept nogil:
    """Write one SRTP packet; its length. The lower 48 bits of `sequence` count."""
    cdef uint8_t iv[16]
    cdef uint8_t tail[PADDING]
    cdef uint8_t rollover[4]
    cdef int head = header.length, length = head, done = 0
    cdef uint32_t counter = <uint32_t>(sequence >> 16)
    cdef size_t written = 0
    cdef Sent *kept
    memcpy(to, header.start, HEADER)
    if marker:
        to[1] |= 0x80
    fanout_store16(to + 2, <uint16_t>sequence)
    fanout_store32(to + 4, timestamp)
    if header.send_time:
        to[header.send_time] = now.stamp >> 16
        to[header.send_time + 1] = now.stamp >> 8
        to[header.send_time + 2] = now.stamp
    if header.number:
        fanout_store16(to + header.number, viewer.transport_sequence)
    if padding:
        to[0] |= 0x20
        memset(tail, 0, padding)
        tail[padding - 1] = padding
    memcpy(iv, viewer.salt, 16)
    if viewer.gcm:
        xor32(iv + 2, header.ssrc)
        xor32(iv + 6, counter)
        iv[10] ^= <uint8_t>(sequence >> 8)
        iv[11] ^= <uint8_t>sequence
        EVP_EncryptInit_ex(viewer.cipher, NULL, NULL, NULL, iv)
        EVP_EncryptUpdate(viewer.cipher, NULL, &done, to, head)
        EVP_EncryptUpdate(viewer.cipher, to + length, &done, payload.data, payload.size)
        length += payload.size
        if padding:
            EVP_EncryptUpdate(viewer.cipher, to + length, &done, tail, padding)
            length += padding
        EVP_EncryptFinal_ex(viewer.cipher, to + length, &done)
        EVP_CIPHER_CTX_ctrl(viewer.cipher, EVP_CTRL_AEAD_GET_TAG, 16, to + length)
        length += 16
    else:
        xor32(iv + 4, header.ssrc)
        xor32(iv + 8, counter)
        iv[12] ^= <uint8_t>(sequence >> 8)
        iv[13] ^= <uint8_t>sequence
        EVP_EncryptInit_ex(viewer.cipher, NULL, NULL, NULL, iv)
        EVP_EncryptUpdate(viewer.cipher, to + length, &done, payload.data, payload.size)
        length += payload.size
        if padding:
            EVP_EncryptUpdate(viewer.cipher, to + length, &done, tail, padding)
            length += padding
        fanout_store32(rollover, counter)
        EVP_MAC_init(viewer.mac, NULL, 0, NULL)
        EVP_MAC_update(viewer.mac, to, length)
        EVP_MAC_update(viewer.mac, rollover, 4)
        EVP_MAC_final(viewer.mac, to + length, &written, 20)  # there is room for all of it, 10 bytes go out
        length += 10
    if header.number:
        kept = viewer.ring + (viewer.transport_sequence & (SENT - 1))
        kept.number = 0  # `sent` may look at it meanwhile
        kept.size = length
        kept.time_us = now.us
        kept.number = <uint32_t>viewer.transport_sequence + 1
        viewer.transport_sequence += 1
    return length


cdef inline void xor32(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] ^= <uint8_t>(value >> 24)
    at[1] ^= <uint8_t>(value >> 16)
    at[2] ^= <uint8_t>(value >> 8)
    at[3] ^= <uint8_t>value


cdef inline Bound *bound_to(Viewer *viewer, Lane *lane) noexcept nogil:
    cdef int i
    for i in range(viewer.lanes):
        if viewer.bounds[i].lane == lane:
            return viewer.bounds + i
    return NULL


cdef inline Moment moment(int64_t now_us) noexcept nogil:
    cdef Moment now
    now.us = now_us
    now.stamp = <uint32_t>(((now_us % 64000000) << 18) / 1000000)
    return now


cdef inline bint is_full(int wrong) noexcept nogil:
    return wrong == EAGAIN or wrong == ENOBUFS or wrong == ENOMEM


cdef inline bint is_reported(int wrong) noexcept nogil:
    """What an ICMP message may have left behind for an earlier packet."""
    return (
        wrong == ECONNREFUSED or wrong == EHOSTUNREACH or wrong == ENETUNREACH or wrong == EHOSTDOWN or wrong == EPROTO
    )


cdef void free_viewer(Viewer *viewer) noexcept:
    EVP_CIPHER_CTX_free(viewer.cipher)
    EVP_MAC_CTX_free(viewer.mac)
    free(viewer.ring)
    free(viewer.bounds)
    OPENSSL_cleanse(viewer, sizeof(Viewer))
    free(viewer)


@cython.final
cdef class NativeKernel:
    """See `Kernel`. `fd` is a UDP socket that somebody else owns, or -1 for `protect` alone.

    Without `offload` each packet is a message of its own, as on systems without UDP_SEGMENT.
    """

    cdef int fd
    cdef int family
    cdef bint offload
    cdef dict viewer_of  # number: address of the Viewer
    cdef dict lane_of
    cdef dict kept  # lane: payloads of what it holds
    cdef EVP_MAC *hmac
    cdef Slice *slices
    cdef int slice_room
    cdef uint8_t *buffer
    cdef Py_ssize_t used
    cdef int waiting  # messages
    cdef Message messages[MESSAGES]
    cdef mmsghdr headers[MESSAGES]
    cdef iovec vectors[MESSAGES]
    cdef fanout_control controls[MESSAGES]
    cdef public int64_t patience_us
    cdef int64_t patience
    cdef int64_t packets, bytes_, dropped, handed, full, unreachable
    cdef list failures
    cdef bint failing

    native = True

    def __cinit__(self, int fd, *, bint offload=True):
        self.fd = os.dup(fd) if fd >= 0 else -1
        self.family = 0
        if fd >= 0:
            with socket.socket(fileno=fd) as probe:
                self.family = probe.family
                probe.detach()
        self.offload = offload and fd >= 0 and fanout_can_segment(fd)
        self.viewer_of = {}
        self.lane_of = {}
        self.kept = {}
        self.failures = []
        self.patience_us = PATIENCE_US
        self.hmac = EVP_MAC_fetch(NULL, b"HMAC", NULL)
        self.buffer = <uint8_t *>malloc(BUFFER)
        if self.buffer == NULL or self.hmac == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.viewer_of is not None:
            for pointer in self.viewer_of.values():
                free_viewer(<Viewer *><uintptr_t>pointer)
            for pointer in self.lane_of.values():
                free_lane(<Lane *><uintptr_t>pointer)
        EVP_MAC_free(self.hmac)
        free(self.buffer)
        free(self.slices)
        if self.fd >= 0:
            os.close(self.fd)

    def open(self, viewer, keys, address):
        """See `Kernel.open`."""
        cdef fanout_address to
        cdef fanout_source source
        cdef socklen_t length = self.resolve(address, &to, &source)
        self.close(viewer)
        session = derive(keys)
        cdef bytes cipher_key = session.cipher_key, auth_key = session.auth_key, salt = session.salt
        cdef OSSL_PARAM parameters[2]
        cdef Viewer *entry = <Viewer *>calloc(1, sizeof(Viewer))
        if entry == NULL:
            raise MemoryError
        entry.address = to
        entry.address_length = length
        entry.source = source
        entry.whole = True
        entry.gcm = keys.profile == Profile.AEAD_AES_128_GCM
        memcpy(entry.salt, <const uint8_t *>salt, min(len(salt), 16))
        entry.cipher = EVP_CIPHER_CTX_new()
        cdef bint made = entry.cipher != NULL and EVP_EncryptInit_ex(
            entry.cipher, EVP_aes_128_gcm() if entry.gcm else EVP_aes_128_ctr(), NULL, <const uint8_t *>cipher_key, NULL
        ) == 1
        if made and not entry.gcm:
            parameters[0] = OSSL_PARAM_construct_utf8_string(b"digest", b"SHA1", 0)
            parameters[1] = OSSL_PARAM_construct_end()
            entry.mac = EVP_MAC_CTX_new(self.hmac)
            made = entry.mac != NULL and EVP_MAC_init(
                entry.mac, <const uint8_t *>auth_key, len(auth_key), parameters
            ) == 1
        if not made:
            free_viewer(entry)
            raise RuntimeError("libcrypto refuses the cipher")
        self.viewer_of[viewer] = <uintptr_t>entry

    def move(self, viewer, address):
        """See `Kernel.move`."""
        cdef fanout_address to
        cdef fanout_source source
        cdef socklen_t length = self.resolve(address, &to, &source)
        cdef Viewer *entry = self.viewer(viewer)
        if entry != NULL:
            entry.address = to
            entry.address_length = length
            entry.source = source
            entry.whole = True

    def close(self, viewer):
        """See `Kernel.close`."""
        cdef Viewer *entry = self.viewer(viewer)
        if entry != NULL:
            while entry.lanes:
                self.unbind(viewer, entry.bounds[entry.lanes - 1].lane_number)
            del self.viewer_of[viewer]
            free_viewer(entry)

    def bind(self, viewer, lane, binding):
        """See `Kernel.bind`."""
        cdef Viewer *entry = self.viewer(viewer)
        if entry == NULL:
            return
        cdef Lane *there = self.lane(lane)
        cdef Bound *bound
        if there == NULL:
            there = <Lane *>calloc(1, sizeof(Lane))
            if there == NULL:
                raise MemoryError
            self.lane_of[lane] = <uintptr_t>there
            self.kept[lane] = []
        bound = bound_to(entry, there)
        if bound == NULL:
            if there.count == there.room:
                there.viewers = <Viewer **>grown(there.viewers, (2 * there.room + 8) * sizeof(Viewer *))
                there.room = 2 * there.room + 8
            entry.bounds = <Bound *>grown(entry.bounds, (entry.lanes + 1) * sizeof(Bound))
            bound = entry.bounds + entry.lanes
            bound.lane = there
            bound.lane_number = lane
            bound.place = there.count
            there.viewers[there.count] = entry
            there.count += 1
            entry.lanes += 1
        bound.served = there.serial
        bound.sequence_offset = binding.sequence_offset
        bound.timestamp_offset = <uint32_t>(binding.timestamp_offset & 0xFFFFFFFF)
        if binding.transport_sequence_id:
            remember(entry)
        write_header(&bound.header, binding)

    def unbind(self, viewer, lane):
        """See `Kernel.unbind`."""
        cdef Viewer *entry = self.viewer(viewer)
        cdef Lane *there = self.lane(lane)
        if entry == NULL or there == NULL:
            return
        cdef Bound *bound = bound_to(entry, there)
        if bound == NULL:
            return
        cdef Viewer *last = there.viewers[there.count - 1]
        there.viewers[bound.place] = last
        bound_to(last, there).place = bound.place
        there.count -= 1
        cdef Py_ssize_t after = entry.lanes - 1 - (bound - entry.bounds)
        memmove(bound, bound + 1, after * sizeof(Bound))
        entry.lanes -= 1
        if there.count == 0:
            del self.lane_of[lane]
            del self.kept[lane]
            free_lane(there)

    def viewers(self, lane):
        """See `Kernel.viewers`."""
        cdef Lane *there = self.lane(lane)
        return 0 if there == NULL else there.count

    def send(self, lane, burst, now_us):
        """See `Kernel.send`."""
        cdef Lane *there = self.lane(lane)
        cdef Moment now = moment(now_us)
        cdef int64_t packets = self.packets, size = self.bytes_, dropped = self.dropped
        cdef Train train
        cdef tuple payloads = tuple(burst.payloads)
        if there == NULL or not payloads:
            return SendResult()
        if there.holding:
            self.let_go(lane, there, now)
        if len(payloads) > self.slice_room:
            self.slices = <Slice *>grown(self.slices, len(payloads) * sizeof(Slice))
            self.slice_room = len(payloads)
        train.payloads = self.slices
        describe(&train, burst, payloads)
        self.begin()
        cdef int64_t before = self.packets, lost = self.dropped
        with nogil:
            self.deliver_all(there, &train, now)
        if self.dropped > lost:
            served = there.count * (self.packets - before) // (self.packets - before + self.dropped - lost)
            there.turn = (there.turn + max(1, served)) % there.count
        return SendResult(self.packets - packets, self.bytes_ - size, self.dropped - dropped)

    def hold(self, lane, burst, now_us):
        """See `Kernel.hold`."""
        cdef Lane *there = self.lane(lane)
        cdef int64_t packets = self.packets, size = self.bytes_, dropped = self.dropped
        cdef tuple payloads = tuple(burst.payloads)
        cdef Train *train
        if there == NULL or not payloads:
            return SendResult()
        if there.holding == HELD:
            self.let_go(lane, there, moment(now_us))
        train = there.held + there.holding
        train.payloads = <Slice *>grown(NULL, len(payloads) * sizeof(Slice))
        try:
            describe(train, burst, payloads)
        except BaseException:
            free(train.payloads)
            raise
        there.serial += 1
        train.serial = there.serial
        there.holding += 1
        self.kept[lane].append(payloads)
        return SendResult(self.packets - packets, self.bytes_ - size, self.dropped - dropped)

    def release(self, lane, now_us):
        """See `Kernel.release`."""
        cdef Lane *there = self.lane(lane)
        cdef int64_t packets = self.packets, size = self.bytes_, dropped = self.dropped
        if there == NULL or not there.holding:
            return SendResult()
        self.let_go(lane, there, moment(now_us))
        return SendResult(self.packets - packets, self.bytes_ - size, self.dropped - dropped)

    def send_to(self, viewer, packets, now_us):
        """See `Kernel.send_to`."""
        cdef Viewer *entry = self.viewer(viewer)
        cdef int64_t sent = self.packets, size = self.bytes_, dropped = self.dropped
        cdef Moment now = moment(now_us)
        cdef uint8_t *to
        if entry == NULL or not entry.address_length:
            return SendResult()
        self.begin()
        # A few packets of one viewer are not worth giving the GIL away for each; the operating system is.
        for packet in packets:
            to = self.place(LARGEST)
            self.put(entry, to, seal_alone(entry, packet, now, to))
        with nogil:
            self.flush()
        return SendResult(self.packets - sent, self.bytes_ - size, self.dropped - dropped)

    def protect(self, viewer, packets, now_us):
        """See `Kernel.protect`."""
        cdef Viewer *entry = self.viewer(viewer)
        cdef Moment now = moment(now_us)
        cdef uint8_t to[LARGEST]
        cdef int length
        cdef list sealed = []
        if entry != NULL:
            for packet in packets:
                length = seal_alone(entry, packet, now, to)
                sealed.append(to[:length])
        return sealed

    def sent(self, viewer, first, count):
        """See `Kernel.sent`."""
        cdef Viewer *entry = self.viewer(viewer)
        cdef Sent kept
        cdef uint32_t number
        cdef list found = []
        if entry == NULL or entry.ring == NULL:
            return found
        for i in range(first, first + count):
            number = i & 0xFFFF
            # The viewer's thread may write here at this moment: then the number is another before or after.
            kept = entry.ring[number & (SENT - 1)]
            if kept.number == number + 1 and entry.ring[number & (SENT - 1)].number == number + 1:
                found.append((number, kept.time_us, kept.size))
        return found

    def stats(self):
        """See `Kernel.stats`."""
        return KernelStats(
            viewers=len(self.viewer_of),
            packets=self.packets,
            bytes=self.bytes_,
            dropped=self.dropped,
            messages=self.handed,
            full=self.full,
            unreachable=self.unreachable,
        )

    def shut(self):
        """See `Kernel.shut`."""
        for viewer in list(self.viewer_of):
            self.close(viewer)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def fail_next(self, errors):
        """See `PythonKernel.fail_next`."""
        self.failures = list(errors)
        self.failing = bool(self.failures)

    cdef Viewer *viewer(self, number) except? NULL:
        return <Viewer *><uintptr_t>self.viewer_of.get(number, 0)

    cdef Lane *lane(self, number) except? NULL:
        return <Lane *><uintptr_t>self.lane_of.get(number, 0)

    cdef socklen_t resolve(self, address, fanout_address *to, fanout_source *source) except? 0:
        cdef bytes data
        memset(to, 0, sizeof(fanout_address))
        memset(source, 0, sizeof(fanout_source))
        if address is None or self.fd < 0:
            return 0
        resolved = socket_address(address, self.family)
        told = source_of(address, self.family)
        if told is not None:
            source.level, source.type, data = told
            if len(data) > 20:
                raise ValueError("a control message is too long")
            source.length = len(data)
            memcpy(source.data, <const uint8_t *>data, source.length)
        cdef bytes packed = socket.inet_pton(self.family, resolved[0])
        if self.family == socket.AF_INET:
            return fanout_v4(to, packed, resolved[1])
        return fanout_v6(to, packed, resolved[1], resolved[3])

    cdef void let_go(self, lane, Lane *there, Moment now):
        self.begin()
        with nogil:
            self.release_all(there, now)
        while there.holding:
            there.holding -= 1
            free(there.held[there.holding].payloads)
        self.kept[lane].clear()

    cdef void begin(self) noexcept nogil:
        self.patience = self.patience_us
        self.used = 0
        self.waiting = 0

    cdef void deliver_all(self, Lane *lane, Train *train, Moment now) noexcept nogil:
        """A burst to all viewers of a lane, and what other lanes hold for each of them."""
        cdef Py_ssize_t i, size = 0
        cdef int k, lack, padding
        cdef Viewer *viewer
        cdef Bound *bound
        cdef Bound *other
        cdef bint equal = True
        for k in range(train.count):
            size += train.payloads[k].size + OVERHEAD
            equal = equal and (k == train.count - 1 or train.payloads[k].size == train.payloads[0].size)
        lack = train.payloads[0].size - train.payloads[train.count - 1].size
        if not equal or lack > PADDING or lack < 0:
            lack = 0
        for i in range(lane.count):
            viewer = lane.viewers[(lane.turn + i) % lane.count]
            if not viewer.address_length:
                continue
            bound = bound_to(viewer, lane)
            other = first_waiting(viewer, lane)
            if self.used + size > BUFFER:
                self.flush()
            padding = lack if lack and other != NULL and rides(bound, train, other) else 0
            self.put_train(viewer, bound, train, padding, now)
            if other != NULL:
                for k in range(viewer.lanes):
                    other = viewer.bounds + k
                    if other.lane != lane and other.lane.serial > other.served:
                        self.put_held(viewer, other, now)
        self.flush()

    cdef void release_all(self, Lane *lane, Moment now) noexcept nogil:
        cdef Py_ssize_t i
        cdef Bound *bound
        for i in range(lane.count):
            if lane.viewers[i].address_length:
                bound = bound_to(lane.viewers[i], lane)
                if bound.served < lane.serial:
                    self.put_held(lane.viewers[i], bound, now)
        self.flush()

    cdef void put_held(self, Viewer *viewer, Bound *bound, Moment now) noexcept nogil:
        cdef int i
        for i in range(bound.lane.holding):
            if bound.lane.held[i].serial > bound.served:
                self.put_train(viewer, bound, bound.lane.held + i, 0, now)
        bound.served = bound.lane.serial

    cdef void put_train(self, Viewer *viewer, Bound *bound, Train *train, int padding, Moment now) noexcept nogil:
        cdef uint64_t sequence = <uint64_t>(train.index + bound.sequence_offset)
        cdef uint32_t timestamp = train.timestamp + bound.timestamp_offset
        cdef int i, length, last = train.count - 1
        cdef uint8_t *to
        for i in range(train.count):
            to = self.place(train.payloads[i].size + OVERHEAD)
            length = seal(
                viewer, &bound.header, sequence + i, timestamp, train.marker and i == last, train.payloads[i],
                padding if i == last else 0, now, to,
            )
            self.put(viewer, to, length)

    cdef uint8_t *place(self, Py_ssize_t size) noexcept nogil:
        """Where the next packet, of `size` bytes at most, is to be written."""
        if self.used + size > BUFFER or self.waiting == MESSAGES:
            self.flush()
        return self.buffer + self.used

    cdef void put(self, Viewer *viewer, uint8_t *data, int size) noexcept nogil:
        """Take what was written at `place` into the last message, or into a new one."""
        cdef Message *message = self.messages + self.waiting - 1
        self.used += size
        if (
            self.waiting
            and message.viewer == viewer
            and not message.closed
            and size <= message.segment
            and message.packets < SEGMENTS
            and message.length + size <= TRAIN
            and viewer.whole
            and self.offload
        ):
            message.closed = size < message.segment
            message.length += size
            message.packets += 1
            return
        message += 1
        message.viewer = viewer
        message.data = data
        message.length = size
        message.segment = size
        message.packets = 1
        message.closed = False
        self.waiting += 1

    cdef void flush(self) noexcept nogil:
        """Hand all messages over; what is not taken is dropped."""
        cdef int i, count, taken, wrong
        cdef bint reported = False
        cdef Message *message
        for i in range(self.waiting):
            message = self.messages + i
            fanout_message(
                &self.headers[i].msg_hdr, self.vectors + i, self.controls + i, &message.viewer.address,
                message.viewer.address_length, &message.viewer.source, message.data, message.length,
                message.segment if message.packets > 1 else 0,
            )
        i = 0
        while i < self.waiting:
            wrong = self.next_failure() if self.failing else 0
            if wrong:
                taken = -1
            else:
                count = 1 if self.failing else self.waiting - i
                taken = sendmmsg(self.fd, self.headers + i, count, MSG_DONTWAIT | MSG_NOSIGNAL)
                wrong = errno
            if taken > 0:
                self.handed += taken
                reported = False
                while taken:
                    self.packets += self.messages[i].packets
                    self.bytes_ += self.messages[i].length
                    i += 1
                    taken -= 1
            elif is_full(wrong):
                self.full += 1
                if not self.wait(wrong):
                    self.dropped += self.messages[i].packets
                    i += 1
            elif not reported and is_reported(wrong):
                reported = True  # by an earlier packet: this one deserves another try
            elif wrong != EINTR:
                if self.messages[i].packets > 1 and (wrong == EINVAL or wrong == EIO or wrong == EMSGSIZE):
                    self.send_singly(self.messages + i)
                else:
                    self.unreachable += 1
                    self.dropped += self.messages[i].packets
                reported = False
                i += 1
        self.waiting = 0
        self.used = 0

    cdef bint wait(self, int wrong) noexcept nogil:
        """Wait for room; False when this call has waited for as long as it may."""
        cdef int64_t begun
        if self.patience <= 0:
            return False
        begun = fanout_now_us()
        fanout_wait(self.fd, self.patience, wrong != EAGAIN)
        self.patience -= max(1, fanout_now_us() - begun)
        return True

    cdef void send_singly(self, Message *message) noexcept nogil:
        """The way to this viewer takes no trains: a device without checksums, or one with short packets."""
        cdef mmsghdr header
        cdef iovec vector
        cdef fanout_control control
        cdef uint8_t *data = message.data
        cdef int left = message.length, size, taken, wrong
        cdef bint reported = False
        message.viewer.whole = False
        while left:
            size = min(left, message.segment)
            fanout_message(
                &header.msg_hdr, &vector, &control, &message.viewer.address, message.viewer.address_length,
                &message.viewer.source, data, size, 0,
            )
            wrong = self.next_failure() if self.failing else 0
            taken = -1
            if not wrong:
                taken = sendmmsg(self.fd, &header, 1, MSG_DONTWAIT | MSG_NOSIGNAL)
                wrong = errno
            if taken > 0:
                self.handed += 1
                self.packets += 1
                self.bytes_ += size
            elif is_full(wrong):
                self.full += 1
                if self.wait(wrong):
                    continue
                self.dropped += 1
            elif wrong == EINTR:
                continue
            elif not reported and is_reported(wrong):
                reported = True
                continue
            else:
                self.unreachable += 1
                self.dropped += 1
            data += size
            left -= size

    cdef int next_failure(self) noexcept with gil:
        cdef int failure = self.failures.pop(0)
        self.failing = bool(self.failures)
        return failure


cdef void *grown(void *old, size_t size) except NULL:
    cdef void *new = realloc(old, size)
    if new == NULL:
        raise MemoryError
    return new


cdef void free_lane(Lane *lane) noexcept:
    cdef int i
    for i in range(lane.holding):
        free(lane.held[i].payloads)
    free(lane.viewers)
    free(lane)


cdef int remember(Viewer *viewer) except -1:
    """Have room for the times of packets with a transport-wide sequence number."""
    if viewer.ring == NULL:
        viewer.ring = <Sent *>calloc(SENT, sizeof(Sent))
        if viewer.ring == NULL:
            raise MemoryError
    return 0


cdef int seal_alone(Viewer *viewer, packet, Moment now, uint8_t *to) except -1:
    cdef Header header
    cdef Slice payload
    cdef bytes data = packet.payload
    if packet.transport_sequence_id:
        remember(viewer)
    write_header(&header, packet)
    payload.data = data
    payload.size = len(data)
    return seal(viewer, &header, packet.sequence, packet.timestamp, packet.marker, payload, 0, now, to)


cdef int describe(Train *train, burst, tuple payloads) except -1:
    cdef int i = 0
    cdef bytes payload
    train.serial = 0
    train.index = burst.index
    train.timestamp = <uint32_t>(burst.timestamp & 0xFFFFFFFF)
    train.marker = burst.marker
    train.count = len(payloads)
    for payload in payloads:
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("a payload is too long")
        train.payloads[i].data = payload
        train.payloads[i].size = len(payload)
        i += 1
    return 0


cdef Bound *first_waiting(Viewer *viewer, Lane *lane) noexcept nogil:
    """The first other lane that holds what this viewer has not got."""
    cdef int i
    for i in range(viewer.lanes):
        if viewer.bounds[i].lane != lane and viewer.bounds[i].lane.serial > viewer.bounds[i].served:
            return viewer.bounds + i
    return NULL


cdef bint rides(Bound *bound, Train *train, Bound *other) noexcept nogil:
    """Whether what is held fits behind the burst's packets, once those are of one size."""
    cdef int i, held
    for i in range(other.lane.holding):
        if other.lane.held[i].serial > other.served:
            held = other.lane.held[i].payloads[0].size
            return other.header.length + held <= bound.header.length + train.payloads[0].size
    return False
