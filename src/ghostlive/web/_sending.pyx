# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True
"""Writes the same bytes to many sockets without the GIL; `sending.py` says what for.

No byte of a peer is looked at here.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EINTR, errno

cdef extern from "sys/socket.h" nogil:
    ssize_t send(int, const void *, size_t, int)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef enum:
    TURN = 256  # sockets between two looks at the GIL


def send_each(list fds not None, bytes data not None):
    """See `sending.SendEach`."""
    cdef int[TURN] sockets
    cdef ssize_t[TURN] taken
    cdef Py_ssize_t first, place, count
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef list short = []
    for first in range(0, len(fds), TURN):
        count = min(len(fds) - first, TURN)
        for place in range(count):
            sockets[place] = fds[first + place]
        with nogil:
            for place in range(count):
                taken[place] = send(sockets[place], start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                while taken[place] < 0 and errno == EINTR:
                    taken[place] = send(sockets[place], start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        for place in range(count):
            if taken[place] < size:
                short.append((first + place, max(taken[place], 0)))
    return short
