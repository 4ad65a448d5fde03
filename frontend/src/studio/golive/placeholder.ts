/** Frames a second: as few as players take for a picture that is there. */
const RATE = 5;

/** A dark picture, for as long as nothing is shared: viewers' players would take none for a broken connection. */
export function darkPicture(width: number, height: number): { track: MediaStreamTrack; stop: () => void } {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  let shade = 0;
  const draw = () => {
    // A canvas that does not change gives no frames.
    shade = 1 - shade;
    if (!context) return;
    context.fillStyle = `rgb(16 21 ${27 + shade})`;
    context.fillRect(0, 0, width, height);
  };
  draw();
  const timer = setInterval(draw, 1000 / RATE);
  const track = canvas.captureStream(RATE).getVideoTracks()[0] as MediaStreamTrack;
  return {
    track,
    stop: () => {
      clearInterval(timer);
      track.stop();
    },
  };
}
