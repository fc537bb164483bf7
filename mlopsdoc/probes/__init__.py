"""Library -> plain data. The only importers of pynvml, psutil, pyudev and cpuinfo; each runs in a lane."""
