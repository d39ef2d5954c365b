"""Copy the sound of a video to its annotated copy: packets as they are, or AAC if the container lacks the codec."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from mien.video.clock import read_packets
from mien.video.source import first_video, get_av_errors, open_film

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)  # of AAC

_PRIMING = Fraction(1, 10)  # seconds


class _Target(Protocol):
    def write(self, packet: Packet[Any]) -> None: ...

    def close(self) -> None: ...


class Sound:
    """The sound tracks of a video, copied up to a given time at each call, on the same clock as its frames."""

    def __init__(self, address: str) -> None:
        self._source = open_film(address)
        self._targets: dict[int, _Target] = {}
        self._packets = self._read()
        self._next: Packet[Any] | None = None

    def begin(self, container: OutputContainer, *, encode: bool) -> None:
        """Add the tracks to ``container`` before its first packet. encode: as AAC, not as they are."""
        kind = _Encoded if encode else _Copied
        self._targets = {track.index: kind(container, track) for track in self._source.streams.audio}

    def copy(self, until: float) -> None:
        """Write the packets that begin before ``until`` seconds."""
        while (packet := self._next or next(self._packets, None)) is not None:
            self._next = packet
            if packet.dts is not None and float(packet.dts * packet.time_base) > until:
                return
            self._targets[packet.stream_index].write(packet)
            self._next = None

    def finish(self) -> None:
        """Flush the encoders."""
        for target in self._targets.values():
            target.close()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _read(self) -> Iterator[Packet[Any]]:
        video = first_video(self._source)
        try:
            for packet in () if video is None else read_packets(self._source, video, self._source.streams.audio):
                if packet.size and packet.stream_index in self._targets and not _is_hidden(packet):
                    yield packet
        except get_av_errors().FFmpegError:
            return  # a damaged end; Film.faults says so


def _is_hidden(packet: Packet[Any]) -> bool:
    """Return whether an edit list hides the packet, except for the one or two before 0 that decoders need."""
    return packet.is_discard and packet.pts is not None and packet.pts * packet.time_base < -_PRIMING


class _Copied:
    def __init__(self, container: OutputContainer, track: AudioStream) -> None:
        self._container, self._track = container, container.add_stream_from_template(track)
        self._last: int | None = None
        self._end = 0

    def write(self, packet: Packet[Any]) -> None:
        """Write the packet; if its time stamp does not increase, place it right after the previous one."""
        if packet.dts is None or (self._last is not None and packet.dts <= self._last):
            packet.pts = packet.dts = self._end
        self._last, self._end = packet.dts, packet.dts + max(1, packet.duration or 0)
        packet.stream = self._track
        self._container.mux(packet)

    def close(self) -> None:
        """Do nothing; packets are not buffered."""


class _Encoded:
    def __init__(self, container: OutputContainer, track: AudioStream) -> None:
        rate = track.rate if track.rate in _RATES else 48000
        layout = "mono" if track.layout.nb_channels == 1 else "stereo"
        self._container, self._track = container, container.add_stream("aac", rate=rate, layout=layout)

    def write(self, packet: Packet[Any]) -> None:
        """Decode and encode the packet; a damaged one becomes silence."""
        try:
            frames: list[Any] = packet.decode()
        except get_av_errors().InvalidDataError:
            return
        for frame in frames:
            self._container.mux(self._track.encode(frame))

    def close(self) -> None:
        """Flush the encoder."""
        self._container.mux(self._track.encode(None))
