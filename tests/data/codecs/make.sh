#!/bin/sh
# Makes the files of this folder again; needs ffmpeg with libx264, libx265, libsvtav1, libaom, libvpx and libopus.
set -eu
cd "$(dirname "$0")"

video() { # rate size frames, then the encoder's options and the output
    rate=$1 size=$2 frames=$3
    shift 3
    ffmpeg -v error -y -f lavfi -i "testsrc2=size=$size:rate=$rate" -frames:v "$frames" -pix_fmt yuv420p \
        -fflags +bitexact -flags +bitexact "$@"
}
audio() { # rate, channel layout, then the encoder's options and the output
    rate=$1 layout=$2
    shift 2
    ffmpeg -v error -y -f lavfi -i "sine=frequency=440:sample_rate=$rate:duration=0.3" -af "aformat=channel_layouts=$layout" \
        -fflags +bitexact -flags +bitexact "$@"
}

# H.264: high profile with B-frames, cropping (1080 lines of 1088) and broadcast colours
video 30000/1001 1920x1080 6 -c:v libx264 -preset veryfast -crf 51 -bf 2 -color_primaries bt709 -color_trc bt709 \
    -colorspace bt709 -f flv h264_high.flv
video 30 320x240 12 -c:v libx264 -profile:v baseline -crf 45 -g 6 -x264-params aud=1:repeat-headers=1 h264_baseline.h264
video 25 322x184 6 -c:v libx264 -crf 45 -x264-params interlaced=1:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500 h264_interlaced.h264
video 50 320x240 6 -c:v libx264 -profile:v high422 -pix_fmt yuv422p10le -crf 45 -x264-params cqm=jvt h264_high422.h264
video 25 320x240 24 -c:v libx264 -crf 45 -g 8 -bf 2 -x264-params open-gop=1:scenecut=0 h264_open_gop.h264
# H.265: main with B-frames and cropping, main 10 HDR with closed groups
video 24000/1001 1922x1082 8 -c:v libx265 -preset ultrafast -crf 51 -x265-params log-level=none:aud=1:repeat-headers=1 h265_main.hevc
video 50 640x360 8 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -crf 51 -tag:v hvc1 -color_primaries bt2020 \
    -color_trc smpte2084 -colorspace bt2020nc -x265-params log-level=none:bframes=0:keyint=4:open-gop=0 h265_main10.mp4
video 25 416x240 12 -c:v libx265 -preset medium -crf 51 -x265-params log-level=none:keyint=6:min-keyint=6:scaling-list=default h265_open_gop.hevc
# AV1
video 30 640x360 6 -c:v libsvtav1 -preset 10 -crf 63 -g 3 av1_svt.obu
video 30 640x360 4 -c:v libaom-av1 -cpu-used 8 -crf 63 -b:v 0 -pix_fmt yuv420p10le -color_primaries bt2020 \
    -color_trc arib-std-b67 -colorspace bt2020nc av1_hlg.mp4
video 30 640x360 3 -c:v libsvtav1 -preset 10 -crf 63 -f ivf av1_svt.ivf
# VP8 and VP9
video 30 320x240 4 -c:v libvpx -crf 60 -b:v 50k -deadline realtime -g 2 vp8.ivf
video 30 320x240 4 -c:v libvpx-vp9 -crf 60 -b:v 0 -deadline realtime -g 2 vp9.ivf
video 30 320x240 2 -c:v libvpx-vp9 -pix_fmt yuv422p10le -crf 60 -b:v 0 -deadline realtime vp9_profile3.mp4
# audio
audio 48000 stereo -c:a aac -b:a 48k aac_lc.adts
audio 44100 5.1 -c:a aac -b:a 64k aac_51.mp4
audio 48000 stereo -c:a libopus -b:a 24k opus_20ms.ogg
audio 48000 mono -c:a libopus -b:a 24k -frame_duration 60 opus_60ms.ogg
audio 48000 5.1 -c:a libopus -b:a 64k -mapping_family 1 opus_51.mp4
audio 44100 stereo -c:a flac flac.flac
audio 48000 5.1 -c:a ac3 -b:a 192k ac3_51.ac3
audio 44100 stereo -c:a ac3 -b:a 96k ac3_stereo.mp4
audio 48000 stereo -c:a eac3 -b:a 96k eac3.eac3
audio 48000 5.1 -c:a eac3 -b:a 128k eac3_51.mp4
audio 44100 stereo -c:a libmp3lame -b:a 64k -write_xing 0 -id3v2_version 0 mp3_44100.mp3
audio 22050 mono -c:a libmp3lame -b:a 32k -write_xing 0 -id3v2_version 0 mp3_22050.mp3
