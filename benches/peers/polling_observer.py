"""Python watchdog's PollingObserver: each file that it reports as created or moved to, one a line.

    polling_observer.py ROOT SECONDS

`timeout` is the polling interval; `event_filter` spares it the other kinds of events (watchdog's documentation of
BaseObserver and its `schedule`).
"""

import sys
import time

from watchdog.events import FileCreatedEvent, FileMovedEvent, FileSystemEventHandler
from watchdog.observers.polling import PollingObserver


class Handler(FileSystemEventHandler):
    def on_created(self, event):
        print(event.src_path, flush=True)

    def on_moved(self, event):
        print(event.dest_path, flush=True)


root, interval = sys.argv[1], float(sys.argv[2])
observer = PollingObserver(timeout=interval)
observer.schedule(Handler(), root, recursive=True, event_filter=[FileCreatedEvent, FileMovedEvent])
observer.start()
while True:
    time.sleep(3600)
