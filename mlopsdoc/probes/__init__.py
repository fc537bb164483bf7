"""Library -> plain data. The only importers of pynvml, psutil, pyudev, cpuinfo and urllib3; each runs in a lane."""
