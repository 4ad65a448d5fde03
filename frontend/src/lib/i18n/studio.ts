/** The strings of the studio; `forStudio.ts` registers them. */
export const studio = {
  "studio.name": "Name",
  "studio.title": "Studio · Ghost Live",
  "studio.titleOf": "{title} · Studio",
  "studio.loading": "Loading…",
  "studio.retry": "Try again",
  "studio.unknown": "?",
  "studio.yes": "yes",
  "studio.none": "none",
  "studio.s": "{count} s",
  "studio.kilobits": "{rate} kb/s",
  "studio.kilohertz": "{rate} kHz",

  "studio.error.network":
    "The server does not answer. Check that it runs and that you are online, then try again.",
  "studio.error.wait": "Too many tries. Wait {time}, then try again.",
  "studio.error.status":
    "The server refused this with status {status}. Try again; if it stays so, its log says why.",
  "studio.error.unexpected": "Something went wrong on this page. Reload it and try again.",
  "studio.unreachable.heading": "No answer",

  "studio.account.name": "Name",
  "studio.account.hint": "You sign in with it. Small letters, digits, “.”, “_” or “-”.",
  "studio.account.empty": "Enter a name.",
  "studio.account.rule":
    "Use 1 to 64 small letters, digits, “.”, “_” or “-”, beginning with a letter or digit.",
  "studio.password": "Password",
  "studio.password.hint": "At least {count} characters. A few words make a good one.",
  "studio.password.empty": "Enter the password.",
  "studio.password.short": "Too short: a password needs at least {count} characters.",
  "studio.password.long": "Too long: a password may have at most {count} characters.",
  "studio.password.change": "Change password",
  "studio.password.current": "Present password",
  "studio.password.new": "New password",
  "studio.password.wrong": "This is not your present password.",
  "studio.password.others": "You stay signed in here; everywhere else you will have to sign in again.",
  "studio.password.changed": "Your password is changed. Other browsers that were signed in are signed out.",

  "studio.signIn": "Sign in",
  "studio.signIn.heading": "Sign in to the studio",
  "studio.signIn.ended": "You were signed out. Sign in again to go on.",
  "studio.signIn.wrong": "Name or password is wrong. Try again.",
  "studio.signIn.forgotten": "Password forgotten? On the server:",
  "studio.signOut": "Sign out",
  "studio.signedInAs": "Signed in as",

  "studio.setup.heading": "Welcome to Ghost Live",
  "studio.setup.intro": "Make the owner’s account: it manages every stream on this server.",
  "studio.setup.submit": "Make the account",
  "studio.setup.refused":
    "This link is no longer good: it works once, for an hour. Restart the server, it prints a new one.",
  "studio.setup.done.heading": "The owner’s account exists",
  "studio.setup.done.text":
    "This server is set up already. Sign in with the name and password of an account.",
  "studio.setup.noToken.heading": "The link is not complete",
  "studio.setup.noToken.text":
    "Open the whole link that the server printed when it started, with everything after the “#”. A link works once; if this one is used or older than an hour, restart the server and it prints a new one.",
  "studio.setupNeeded.heading": "No account yet",
  "studio.setupNeeded.text":
    "Open the set-up link that the server printed when it started: it makes the owner’s account. It works for an hour; a restart prints a new one.",
  "studio.setupNeeded.command": "Or make the account on the server:",
  "studio.setupNeeded.done": "Done, go on",

  "studio.heading": "Your streams",
  "studio.headingModerator": "Chats that you moderate",
  "studio.all": "All your streams",
  "studio.new": "New stream",
  "studio.create": "Make the stream",
  "studio.empty": "No stream yet. Make one: it gets a page to share and a key for OBS.",
  "studio.emptyModerator":
    "There is no stream yet. Your account may moderate chats; to broadcast, ask the owner for an account that may.",
  "studio.watching": "{count} watching",
  "studio.watchingPreview": "{count} watching, this preview included",
  "studio.watch": "Watch page",
  "studio.watchOf": "Watch page of {title}",
  "studio.missing.heading": "No such stream",
  "studio.missing.text": "There is no stream called “{name}”, or your account may not manage it.",

  "studio.name.hint": "Part of the address. Letters, digits, “-” or “_”; it cannot be changed later.",
  "studio.name.address": "Viewers will find it at",
  "studio.name.empty": "Enter a name for the stream.",
  "studio.name.long": "Too long: a name has at most 64 characters.",
  "studio.name.characters": "Use letters (a to z), digits, “-” or “_” only.",
  "studio.name.charactersTry": "Use letters (a to z), digits, “-” or “_” only, as in “{suggestion}”.",
  "studio.name.start": "Begin with a letter or a digit.",
  "studio.name.reserved": "“{name}” is an address that Ghost Live uses itself. Choose another name.",
  "studio.name.taken": "There is a stream called “{name}” already. Choose another name.",
  "studio.streamTitle": "Title",
  "studio.streamTitle.hint": "What viewers read. It can be changed at any time.",
  "studio.description": "Description",
  "studio.details": "Title and description",
  "studio.save": "Save",
  "studio.saved": "Saved.",

  "studio.preview.offline":
    "Nothing on the air. Start streaming in OBS or from the browser; the picture appears here by itself.",
  "studio.end": "End broadcast",
  "studio.end.title": "End the broadcast?",
  "studio.end.text":
    "Viewers see that it is over. Stop streaming in OBS too: it tries to connect again by itself, and would be on the air again.",

  "studio.encoder": "Settings for OBS",
  "studio.encoder.ready": "Enter this in OBS",
  "studio.encoder.where":
    "Settings → Stream → Service: Custom…, then these two fields, then Start Streaming.",
  "studio.encoder.server": "Server",
  "studio.encoder.tls": "Over an encrypted connection",
  "studio.encoder.tlsHint":
    "Enter this server instead of the one above. OBS accepts it only when the server has a certificate that is not self-signed.",
  "studio.encoder.key": "Stream key",
  "studio.encoder.once":
    "Copy the key now: it is shown only here and only this once. Whoever has it can broadcast on your stream.",
  "studio.encoder.hidden": "The key itself is shown only when it is made. Lost it? Make a new one.",
  "studio.encoder.noKey": "There is no key, so nobody can broadcast. Make one.",
  "studio.encoder.keyPlace": "KEY",
  "studio.encoder.good": "Better than OBS’s defaults",
  "studio.encoder.goodKeyframes":
    "Settings → Output, Output Mode: Advanced, Streaming → Keyframe Interval: 2 s. New viewers see a picture sooner.",
  "studio.encoder.goodRate": "In the same place, Rate Control: CBR. A steady rate keeps the picture steady.",
  "studio.encoder.goodBFrames":
    "With x264: Tune “zerolatency”. With a graphics card’s encoder: Max B-frames 0. Less delay.",
  "studio.encoder.ffmpeg": "With ffmpeg instead",
  "studio.encoder.command": "Command",

  "studio.keys": "Stream keys",
  "studio.keys.text": "One for each encoder lets you revoke one without the others.",
  "studio.keys.none": "No key: nobody can broadcast on this stream.",
  "studio.key.make": "Make a new key",
  "studio.key.makeText": "The new key is shown once, to copy into OBS.",
  "studio.key.label": "Label (optional)",
  "studio.key.labelHint": "For yourself, to tell keys apart, such as “laptop”.",
  "studio.key.revokeOthers": "Revoke the old keys",
  "studio.key.revokeOthersHint":
    "Encoders that use them can no longer connect; a broadcast that is running goes on.",
  "studio.key.made": "made {time}",
  "studio.key.used": "last used {time}",
  "studio.key.unused": "never used",
  "studio.key.revoke": "Revoke",
  "studio.key.revokeOf": "Revoke the key {key}",
  "studio.key.revokeTitle": "Revoke the key {key}?",
  "studio.key.revokeText":
    "Whoever uses it can no longer connect; a broadcast that is running goes on. This cannot be undone, but a new key can be made.",

  "studio.delete": "Delete stream",
  "studio.delete.heading": "Delete this stream",
  "studio.delete.title": "Delete {name}?",
  "studio.delete.text":
    "Its page, its keys and its chat go with it, and a broadcast that is running ends. This cannot be undone.",

  "studio.incoming": "What your encoder sends",
  "studio.incoming.none": "No encoder is connected.",
  "studio.stale": "This is not up to date: {reason}",
  "studio.agent.flash": "An encoder such as OBS",
  "studio.publisher": "{protocol} from {address}, connected since {time}",
  "studio.publisherAgent": "{agent} over {protocol} from {address}, connected since {time}",
  "studio.picture": "Picture",
  "studio.sound": "Sound",
  "studio.track.codec": "Codec",
  "studio.track.size": "Size",
  "studio.track.frameRate": "Frame rate",
  "studio.track.rates": "{measured} of {announced}",
  "studio.track.bitrate": "Bit rate",
  "studio.track.keyframes": "Keyframes",
  "studio.track.every": "every {time}",
  "studio.track.bFrames": "B-frames",
  "studio.track.sampleRate": "Sample rate",
  "studio.track.channels": "Channels",

  "studio.severity.problem": "Problem",
  "studio.severity.warning": "Warning",
  "studio.severity.hint": "Tip",
  "studio.advice": "How your broadcast is doing",
  "studio.advice.fine": "All is well: nothing to improve in what your encoder sends.",
  "studio.advice.hints": "It works well. This would make it better still:",
  "studio.advice.one": "One thing spoils it for your viewers:",
  "studio.advice.many": "{count} things spoil it for your viewers:",
  "studio.advice.other": "The server noticed “{code}”",
  "studio.advice.other.text":
    "This page has no words for it yet. Reload the page: it may be older than the server.",

  "studio.advice.no_audio": "There is no sound",
  "studio.advice.no_audio.text": "Your encoder sends a picture without a sound track.",
  "studio.advice.no_audio.fix":
    "In OBS: Settings → Output, Output Mode: Advanced, Streaming → Audio Track: choose one, and give the sources that track in Edit → Advanced Audio Properties.",
  "studio.advice.no_video": "There is no picture",
  "studio.advice.no_video.text": "Your encoder sends sound only. If that is what you want, all is well.",
  "studio.advice.no_video.fix":
    "Otherwise, in OBS: Settings → Output → Streaming → Video Encoder: choose one that your computer has, such as x264.",
  "studio.advice.keyframes_rare": "Keyframes are too rare",
  "studio.advice.keyframes_rare.text":
    "There is one every {interval}. A picture can only begin at a keyframe: new viewers wait that long, and everybody is further behind.",
  "studio.advice.keyframes.fix":
    "In OBS: Settings → Output, Output Mode: Advanced, Streaming → Keyframe Interval: 2 s (0 means “seldom”).",
  "studio.advice.keyframes_irregular": "Keyframes come irregularly",
  "studio.advice.keyframes_irregular.text":
    "They are {shortest} to {longest} apart, and should come at even distances; like this, players may stop to load.",
  "studio.advice.keyframes_irregular.fix":
    "In OBS: Settings → Output, Output Mode: Advanced, Streaming → Keyframe Interval: 2 s; with x264, add “scenecut=0” to x264 Options.",
  "studio.advice.b_frames": "B-frames add delay",
  "studio.advice.b_frames.text":
    "Your encoder holds pictures back to save some bits. Viewers see everything a little later.",
  "studio.advice.b_frames.fix":
    "In OBS: Settings → Output, Output Mode: Advanced, Streaming: with x264, write “bframes=0” into x264 Options; with a graphics card’s encoder, set Max B-frames to 0.",
  "studio.advice.frame_rate_low": "Pictures are missing",
  "studio.advice.frame_rate_low.text":
    "{measured} arrive of the {nominal} that were announced, so movement stutters.",
  "studio.advice.overload.fix":
    "Your computer does not keep up. In OBS: Settings → Video: a smaller Output (Scaled) Resolution or fewer FPS; or Settings → Output → Streaming: with x264, a faster CPU Usage Preset. View → Stats shows what is lost.",
  "studio.advice.bitrate_low": "The picture could be sharper",
  "studio.advice.bitrate_low.text": "{bitrate} is little for this size and frame rate.",
  "studio.advice.bitrate_low.fix":
    "If your upload allows it, in OBS: Settings → Output → Streaming → Bitrate: about {suggested}. Otherwise a smaller Settings → Video → Output (Scaled) Resolution.",
  "studio.advice.bitrate_high": "The bit rate is very high",
  "studio.advice.bitrate_high.text":
    "{bitrate} is more than many viewers’ connections can take; their picture stops again and again.",
  "studio.advice.bitrate_high.fix": "In OBS: Settings → Output → Streaming → Bitrate: about {suggested}.",
  "studio.advice.uneven_arrival": "The connection to the server stalls",
  "studio.advice.uneven_arrival.text":
    "For up to {seconds} nothing arrived, and then all at once. Viewers see the picture stop.",
  "studio.advice.uneven_arrival.fix":
    "Use a cable instead of Wi-Fi, and stop other uploads. In OBS: a lower Settings → Output → Streaming → Bitrate, and turn on Settings → Advanced → Network → Dynamically change bitrate to manage congestion.",
  "studio.advice.behind": "Your encoder falls behind",
  "studio.advice.behind.text":
    "What arrives is {seconds} late and gets later: your computer or your upload is too slow for what you send.",
  "studio.advice.behind.fix":
    "In OBS: a lower Settings → Output → Streaming → Bitrate; if View → Stats shows encoding lag, a smaller Settings → Video → Output (Scaled) Resolution. Then stop and start the stream, which takes the delay away.",
  "studio.advice.codec_limited": "Not everybody can play {codec}",
  "studio.advice.codec_limited.text":
    "Some browsers cannot play it ({browsers}), or only on some devices. H.264 with AAC plays everywhere.",
  "studio.advice.codec_limited.fix":
    "In OBS: Settings → Output → Streaming → Video Encoder: x264, or another one with H.264 in its name; Audio Encoder: AAC.",
  "studio.advice.chroma_unsupported": "Browsers cannot show this picture",
  "studio.advice.chroma_unsupported.text": "It has more colour detail ({format}) than browsers can decode.",
  "studio.advice.chroma_unsupported.fix":
    "In OBS: Settings → Advanced → Video → Color Format: NV12. In ffmpeg: -pix_fmt yuv420p.",
  "studio.advice.source_remade": "Some viewers get your {codec} encoded anew",
  "studio.advice.source_remade.text":
    "Not every browser can play what you send. Those get H.264 with AAC that the server makes of it, which costs some quality and computing.",
  "studio.advice.source_remade.fix":
    "In OBS: Settings → Output → Streaming → Video Encoder: one with H.264 in its name, Audio Encoder: AAC; Settings → Advanced → Color Format: NV12.",
  "studio.advice.odd_size": "The picture has an odd size",
  "studio.advice.odd_size.text":
    "It is {width}×{height}. Width and height should be even numbers; some players show a false line otherwise.",
  "studio.advice.odd_size.fix":
    "In OBS: Settings → Video → Output (Scaled) Resolution: choose one from the list, such as 1280x720.",
  "studio.advice.variable_frame_rate": "The frame rate varies",
  "studio.advice.variable_frame_rate.text": "Pictures come at uneven distances, so movement is not smooth.",
  "studio.advice.variable_frame_rate.fix":
    "In OBS: Settings → Video → Common FPS Values: 30 or 60; a phone’s camera does better with more light. In ffmpeg: -fps_mode cfr.",
  "studio.advice.av_drift": "Picture and sound drift apart",
  "studio.advice.av_drift.text": "They are {seconds} apart; viewers notice it by the lips.",
  "studio.advice.av_drift.fix":
    "In OBS: Settings → Audio → Sample Rate: 48 kHz, the same as in your system’s sound settings; for a single source, Edit → Advanced Audio Properties → Sync Offset. Then stop and start the stream.",

  "studio.renditions": "Qualities for your viewers",
  "studio.renditions.text":
    "What viewers can choose besides what you send. The server encodes each, unless set otherwise only while somebody watches it.",
  "studio.renditions.offline": "Nothing is on the air. Once you stream, this shows what runs.",
  "studio.renditions.none": "Your viewers get what you send, and nothing else.",
  "studio.renditions.source": "{name} (source)",
  "studio.renditions.leftOut": "Not offered",
  "studio.renditions.left": "{name}: {reason}",
  "studio.renditions.machine": "Encoding uses {used} of {cores} cores on this server.",
  "studio.rendition.viewers.one": "1 viewer",
  "studio.rendition.viewers.many": "{count} viewers",
  "studio.rendition.software": "{encoder}, in software",
  "studio.rendition.hardware": "{encoder}, in hardware",
  "studio.rendition.speed": "{speed} × real time",
  "studio.rendition.cores": "{cores} cores",
  "studio.rendition.dropped.one": "1 frame dropped",
  "studio.rendition.dropped.many": "{count} frames dropped",
  "studio.rendition.always": "always encoded",
  "studio.rendition.state.source": "as you send it",
  "studio.rendition.state.idle": "ready, nobody watches it",
  "studio.rendition.state.starting": "starting",
  "studio.rendition.state.running": "running",
  "studio.rendition.state.lingering": "its last viewer left, ends soon",
  "studio.rendition.state.refused": "not available now",

  "studio.transcode.other": "The server noticed “{code}”",
  "studio.transcode.too_slow": "This server cannot keep up",
  "studio.transcode.too_slow.thinned":
    "Encoding took longer than the broadcast, so {name} has half its frames for now. It is complete again once there is time for it.",
  "studio.transcode.too_slow.withdrawn":
    "Encoding took longer than the broadcast, so {name} is not offered for now. Its viewers see another quality.",
  "studio.transcode.too_slow.fix":
    "Offer fewer or smaller qualities below, or use a server with more cores or a hardware encoder.",
  "studio.transcode.decoder_too_slow": "This server cannot keep up with your picture",
  "studio.transcode.decoder_too_slow.text":
    "Already decoding it takes too long, so that the smaller qualities stutter. What you send itself is passed on as it is.",
  "studio.transcode.decoder_too_slow.fix":
    "In OBS: Settings → Video: a smaller Output (Scaled) Resolution or fewer FPS, or another encoder than AV1 or H.265.",
  "studio.transcode.budget_spent": "There is no room for {name}",
  "studio.transcode.budget_spent.text":
    "A viewer asked for it while this server’s processor or memory was taken: {reason}.",
  "studio.transcode.budget_spent.fix":
    "Offer fewer or smaller qualities below, or let encoding use more (transcode.cores in the configuration).",
  "studio.transcode.worker_crashed": "Encoding broke off",
  "studio.transcode.worker_crashed.text":
    "The process that encodes ended ({reason}) and was started again; its viewers saw the picture stop for a moment.",
  "studio.transcode.worker_crashed.fix": "If it happens again, the server’s log says more.",
  "studio.transcode.source_broken": "Parts of what you send cannot be decoded",
  "studio.transcode.source_broken.text":
    "{reason}. Until the next keyframe, the smaller qualities stand still.",
  "studio.transcode.source_broken.fix":
    "A bad connection to the server, or an encoder that does not work properly, can be the cause.",
  "studio.transcode.encoder_fell_back": "The hardware encoder failed",
  "studio.transcode.encoder_fell_back.text": "{name} is now encoded with {encoder} instead of {instead}.",
  "studio.transcode.encoder_fell_back.fix": "On the server, “ghostlive doctor” says what does not work.",

  "studio.ladder": "Which qualities are offered",
  "studio.ladder.default": "This stream offers what this server offers all streams:",
  "studio.ladder.defaultEmpty":
    "This stream offers what this server offers all streams; nothing of that is smaller than what you send.",
  "studio.ladder.own":
    "This stream has its own list. What would be larger or faster than what you send is left out.",
  "studio.ladder.empty": "The list is empty: viewers get what you send, and nothing else.",
  "studio.ladder.edit": "Make a list for this stream",
  "studio.ladder.reset": "Use the server’s list again",
  "studio.ladder.row": "Quality {number}: {name}",
  "studio.ladder.height": "Lines",
  "studio.ladder.rate": "Frames per second",
  "studio.ladder.rate.source": "as sent",
  "studio.ladder.bitrate": "kb/s",
  "studio.ladder.bitrate.auto": "by size",
  "studio.ladder.codec": "Codec",
  "studio.ladder.mode": "Encoded",
  "studio.ladder.mode.demand": "when watched",
  "studio.ladder.mode.always": "always",
  "studio.ladder.mode.never": "never",
  "studio.ladder.remove": "Remove",
  "studio.ladder.removeOf": "Remove quality {number}: {name}",
  "studio.ladder.removed": "{name} is removed.",
  "studio.ladder.add": "Add a quality",
  "studio.ladder.stored": "Saved. Viewers see the new list when they open the page.",
  "studio.ladder.error": "Quality {number}: {text}",
  "studio.ladder.heightRule": "Lines: a whole number from {least} to {most}.",
  "studio.ladder.rateRule":
    "Frames per second: a number from {least} to {most}, or empty for as many as sent.",
  "studio.ladder.bitrateRule": "kb/s: a number from {least} to {most}, or empty to let the server choose.",
} as const;
