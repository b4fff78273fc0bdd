"""What the measurement prints: the conditions, the table in Markdown, and JSON."""

import datetime
import os
import statistics

# Measure -> heading, factor from the sample's unit to the heading's, decimals, and whether the ratio to the
# unencrypted server is shown.
COLUMNS = {
    "update_client": ("CPU per update, sent by a client, us", 1e6, 1, True),
    "update_procedure": ("CPU per update in a procedure, us", 1e6, 1, True),
    "load_wall": ("load, wall s", 1, 2, True),
    "load_cpu": ("load, CPU s", 1, 2, True),
    "scan_wall": ("cold scan, wall s", 1, 3, True),
    "scan_cpu": ("cold scan, CPU s", 1, 3, True),
    "reencrypt_cold": ("re-encryption, cold, MB/s", 1, 0, False),
    "reencrypt_warm": ("re-encryption, warm, MB/s", 1, 0, False),
}


def processor():
    """Model, cores and the instructions that decide the speed of AES."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        facts = dict(line.rstrip().split("\t: ", 1) for line in lines if "\t: " in line)
    flags = facts.get("flags\t", facts.get("flags", "")).split()
    model = next((value for name, value in facts.items() if name.startswith("model name")), "unknown")
    shown = [flag for flag in ("aes", "vaes", "avx512f") if flag in flags]
    return f"{model}, {os.cpu_count()} cores, {' '.join(shown) or 'no AES instructions'}"


def conditions(server_version, place, filesystem, sizes):
    """What has to be known to judge the numbers, as pairs of name and text."""
    return {
        "processor": processor(),
        "system": f"Linux {os.uname().release}",
        "server": server_version,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load average": "before {:.2f}".format(os.getloadavg()[0]),
        "data": f"{sizes.rows} rows = {sizes.table_mb:.0f} MB a table, in {place} ({filesystem}); "
                f"buffer pool {sizes.pool}, redo log {sizes.log}; {sizes.updates} updates a sample",
        "keys": "256 bits, the same key file for all (debug_key_management makes its own, 128 bits)",
        "settings": "row binary log; sync_binlog=0, innodb_flush_log_at_trx_commit=2, innodb_flush_method=fsync, "
                    "performance_schema=OFF, doublewrite on; where encrypted: tables, redo log, binary log and "
                    "temporary files; innodb_encryption_threads=4, innodb_encryption_rotation_iops=100000",
    }


def markdown(told, results, rounds):
    """The conditions and one row a configuration: medians, and in brackets the ratio to unencrypted."""
    columns = [name for name in COLUMNS if any(measured.get(name) for measured in results.values())]
    lines = [f"- {name}: {text}" for name, text in told.items()]
    lines += ["", "| configuration | " + " | ".join(COLUMNS[name][0] for name in columns) + " |",
              "|---|" + "---|" * len(columns)]
    for configuration, measured in results.items():
        cells = [_cell(name, measured.get(name), results.get("unencrypted", {}).get(name)) for name in columns]
        lines.append(f"| {configuration} | " + " | ".join(cells) + " |")
    spreads = [_spread(results, name) for name in columns]
    lines.append("| *spread of the samples* | " + " | ".join(spreads) + " |")
    lines += ["", f"Medians of {rounds} round(s), configurations interleaved; in brackets the ratio to unencrypted. "
                  "Spread: (largest - smallest) / median, the median of the configurations."]
    return "\n".join(lines)


def _cell(name, samples, base):
    if not samples:
        return "-"
    _, factor, decimals, ratio = COLUMNS[name]
    median = statistics.median(samples)
    text = f"{median * factor:.{decimals}f}"
    return f"{text} ({median / statistics.median(base):.2f}x)" if ratio and base else text


def _spread(results, name):
    spreads = [(max(samples) - min(samples)) / statistics.median(samples)
               for samples in (measured.get(name) for measured in results.values()) if samples]
    return f"{statistics.median(spreads):.0%}"
