"""What the kernel knows: processes, their memory and time, and the machine they run on."""

import os
import platform
import socket

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tree(pid):
    """The process and everything below it."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    pids += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return pids


def cpu_times(pid):
    """User time and system time of the process and everything below it, in seconds."""
    user = system = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/stat") as stat:
                words = stat.read().rsplit(")", 1)[1].split()
            user += int(words[11])
            system += int(words[12])
        except OSError:
            pass
    return user / TICKS, system / TICKS


def cpu_seconds(pid):
    """User and system time of the process and everything below it."""
    return sum(cpu_times(pid))


def rss_bytes(pid):
    """Resident memory of the process and everything below it; pages they share are counted in each."""
    return memory_bytes(pid, "VmRSS:")


def rss_peak_bytes(pid):
    """The most resident memory since `forget_peak`, summed over the process and everything below it."""
    return memory_bytes(pid, "VmHWM:")


def memory_bytes(pid, line_of):
    """A line of proc(5)'s status, summed over the process and everything below it."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/status") as status:
                total += sum(int(line.split()[1]) * 1024 for line in status if line.startswith(line_of))
        except OSError:
            pass
    return total


def forget_peak(pid):
    """Has the peak begin anew at what is resident now."""
    for one in tree(pid):
        with open(f"/proc/{one}/clear_refs", "w") as refs:
            # See proc(5).
            refs.write("5")


def busy_seconds():
    """Time all cores spent in processes since boot; interrupts are nobody's and left out."""
    with open("/proc/stat") as stat:
        user, nice, system = [int(word) for word in stat.readline().split()[1:4]]
    return (user + nice + system) / TICKS


def cores():
    """Cores this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def note():
    """The machine, for the report."""
    model = "unknown"
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.lower().startswith(("model name", "hardware")):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as meminfo:
        memory_kib = int(meminfo.readline().split()[1])
    return {
        "cpu": model,
        "cores": len(cores()),
        "memory_mib": memory_kib // 1024,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "load_before": os.getloadavg(),
    }
