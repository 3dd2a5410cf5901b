from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell without job control, as by CI: children would inherit the deafness to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
