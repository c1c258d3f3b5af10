"""The first step's work alone, in a process whose peak memory is its own."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from erni.chunking import ChunkLimits, plan_chunks
from erni.media.audio import cut_chunk
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.media.vad import SpeechDetector


def main(recording: Path, workplace: Path) -> None:
    decoder = Decoder(find_ffmpeg(None), timeout_s=3600.0, max_duration_s=100_000.0)
    detector = SpeechDetector()
    audio = workplace / "audio.flac"
    info = decoder.decode(recording, audio, detector.feed, lambda: None)
    limits = ChunkLimits(target_s=60.0, max_s=90.0, overlap_s=2.0, min_silence_s=0.2)
    plan = plan_chunks(info.duration_s, detector.finish(), limits)
    for chunk in plan.chunks:
        cut_chunk(audio, chunk.audio, workplace / "chunk.flac", "flac")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(json.dumps({"peak_mb": peak_mb, "duration_s": info.duration_s, "chunks": len(plan.chunks)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
