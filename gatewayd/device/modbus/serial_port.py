"""A serial port of this machine by termios and the loop's `add_reader`: no library between (docs/decisions/0005)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
from typing import Final

from gatewayd.device.modbus.line import Ears
from gatewayd.model.device import ModbusSerialDevice

READ_MAX: Final = 4096
_DATA_BITS: Final = {7: termios.CS7, 8: termios.CS8}
_FRAME: Final = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB
_PSEUDO: Final = "/dev/pts/"
_PARITY: Final = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}


class SerialLine:
    """An open serial port, see `Line`. It is ours alone as long as it is open.

    Args:
        device: port and settings.
        ears: where it reports.

    Raises:
        OSError: no such port, no permission, used by another process, or it does not know the settings.
    """

    def __init__(self, device: ModbusSerialDevice, ears: Ears) -> None:
        self._ears = ears
        self._loop = asyncio.get_running_loop()
        self._fd = os.open(device.serial_port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # other masters lock their port as well
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
            _set_up(self._fd, device)
            self._loop.add_reader(self._fd, self._read)
        except BaseException:
            os.close(self._fd)
            raise

    def send(self, frame: bytes) -> None:
        """Hand a frame to the kernel, whose buffer holds several.

        Raises:
            OSError: the port is gone, or takes nothing.
        """
        if os.write(self._fd, frame) != len(frame):
            raise OSError(errno.EIO, "the port does not take a whole frame")

    def close(self) -> None:
        """Close now."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._fd, termios.TCIOFLUSH)  # else close waits for what a dead line never takes
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        try:
            arrived = os.read(self._fd, READ_MAX)
        except BlockingIOError:
            return
        except OSError as error:  # the adapter was pulled out
            self._ears.lost(error)
            return
        if arrived:
            self._ears.heard(arrived)
        else:
            self._ears.lost(None)


def _set_up(fd: int, device: ModbusSerialDevice) -> None:
    """Raw bytes both ways, no flow control, and the settings of the bus; what waited in the port is thrown away."""
    speed = getattr(termios, f"B{device.baud_rate}", None)
    if speed is None:
        raise OSError(errno.EINVAL, f"this machine knows no baud rate {device.baud_rate}")
    frame = _DATA_BITS[device.data_bits] | _PARITY[device.parity] | (termios.CSTOPB if device.stop_bits == 2 else 0)
    if os.ttyname(fd).startswith(_PSEUDO):
        frame = termios.CS8  # a simulator or a remote port: there are no bits on a wire, and it refuses them
    # A character with a wrong parity bit arrives as a zero byte: the frame's own check then refuses it.
    input_flags = termios.INPCK if device.parity != "none" else 0
    control = termios.CREAD | termios.CLOCAL | frame
    try:
        characters = termios.tcgetattr(fd)[6]
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, [input_flags, 0, control, 0, speed, speed, characters])
        termios.tcflush(fd, termios.TCIOFLUSH)
        _, _, taken, _, _, speed_taken, _ = termios.tcgetattr(fd)
    except termios.error as error:
        raise OSError(*error.args) from error
    if taken & _FRAME != frame or speed_taken != speed:  # tcsetattr succeeds if the port took any of it
        raise OSError(errno.EINVAL, "the port does not take baud_rate, parity, data_bits and stop_bits together")
