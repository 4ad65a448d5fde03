#!/bin/sh
# Makes the files of this folder with ffmpeg: fragmented MP4, so that the tests' own parser reads them.
set -eu
cd "$(dirname "$0")"
encode() {
    output=$1
    shift
    ffmpeg -v error -y -f lavfi -i "testsrc2=size=192x108:rate=30:duration=8" \
        -f lavfi -i "sine=frequency=440:beep_factor=4:sample_rate=48000:duration=8" \
        -c:v libx264 -preset veryfast -b:v 90k -pix_fmt yuv420p "$@" \
        -c:a aac -b:a 32k -ac 2 -movflags frag_keyframe+empty_moov+default_base_moof "$output"
}
# Two seconds a group, two B-frames: what a careful streamer sends.
encode bframes.mp4 -g 60 -keyint_min 60 -sc_threshold 0 -bf 2
# One long group with B-frames: what OBS Studio sends by default.
encode long_group.mp4 -g 250 -keyint_min 250 -sc_threshold 0 -bf 2
# No B-frames, one second a group: a phone.
encode plain.mp4 -g 30 -keyint_min 30 -sc_threshold 0 -bf 0 -tune zerolatency
