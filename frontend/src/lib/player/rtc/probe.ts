import type { Failure } from "../failure";
import { addressOf, type Source } from "../sources";
import { onPictureRefused } from "./lacking";

/** From the question to the connection; the picture that plays meanwhile is not in danger. */
const LIMIT_MS = 6_000;

interface Offer {
  id: number;
  peer_id: number;
  sdp: RTCSessionDescriptionInit;
  candidates?: RTCIceCandidateInit[];
  iceServers?: RTCIceServer[];
}

export interface ProbeTools {
  socket(url: string): WebSocket;
  connection(configuration: RTCConfiguration): RTCPeerConnection;
}

const BROWSER: ProbeTools = {
  socket: (url) => new WebSocket(url),
  connection: (configuration) => new RTCPeerConnection(configuration),
};

/**
 * Finds out whether WebRTC works between here and the server, without touching what plays: connects as OvenPlayer would
 * (OvenMediaEngine's signalling) and hangs up. Null when it does; also when it was called off.
 */
export function probeWebRtc(
  source: Source,
  signal: AbortSignal,
  tools: ProbeTools = BROWSER,
): Promise<Failure | null> {
  return new Promise((resolve) => {
    const socket = tools.socket(addressOf(source));
    let connection: RTCPeerConnection | null = null;
    const timer = setTimeout(
      () => end({ reason: connection ? "network" : "signalling", detail: "" }),
      LIMIT_MS,
    );

    function end(failure: Failure | null): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.onclose = null;
      socket.onmessage = null;
      socket.close();
      if (connection) connection.onconnectionstatechange = null;
      connection?.close();
      resolve(failure);
    }

    function abort(): void {
      end(null);
    }

    function answer({ id, peer_id, sdp, candidates = [], iceServers }: Offer): void {
      const peer = tools.connection(iceServers ? { iceServers } : {});
      connection = peer;
      const say = (message: object) => {
        if (socket.readyState === 1) socket.send(JSON.stringify({ id, peer_id, ...message }));
      };
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === "connected") end(null);
        else if (peer.connectionState === "failed") end({ reason: "network", detail: "" });
      };
      peer.onicecandidate = ({ candidate }) => {
        if (candidate) say({ command: "candidate", candidates: [candidate] });
      };
      onPictureRefused(peer, () => end({ reason: "negotiation", detail: "" }));
      (async () => {
        await peer.setRemoteDescription(sdp);
        await peer.setLocalDescription();
        say({ command: "answer", sdp: peer.localDescription });
        for (const candidate of candidates) await peer.addIceCandidate(candidate);
      })().catch((error: unknown) => {
        if (connection === peer && peer.connectionState !== "closed") {
          end({ reason: "negotiation", detail: String(error) });
        }
      });
    }

    socket.onopen = () => socket.send(JSON.stringify({ command: "request_offer" }));
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      let message: Partial<Offer> & { command?: string; error?: unknown };
      try {
        message = JSON.parse(data);
      } catch {
        end({ reason: "negotiation", detail: "" });
        return;
      }
      if (message.error) end({ reason: "refused", detail: String(message.error) });
      else if (message.command === "offer" && !connection) answer(message as Offer);
    };
    socket.onclose = () => end({ reason: "signalling", detail: "" });
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}
