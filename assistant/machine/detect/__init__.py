"""What this computer is: one probe per source, composed by `detect_machine`.

Every probe takes the root folder, or the driver object, it reads as a parameter.
"""

from assistant.machine.detect.machine import detect_machine

__all__ = ["detect_machine"]
