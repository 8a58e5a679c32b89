"""Modbus: raises an alarm, and asks whether somebody has handled it. `alarm.py HOST PORT UNIT`; wants pymodbus 3."""

import sys

from pymodbus.client import ModbusTcpClient

host, port, unit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = ModbusTcpClient(host, port=port)
if not client.connect():
    sys.exit("not reached")
answer = client.write_registers(0, [1, 417], device_id=unit)  # alarm on, 41.7 degrees
if answer.isError():
    sys.exit(f"not stored: {answer}")
words = client.read_input_registers(10, count=8, device_id=unit).registers  # docs/modbus-map.md
stored, lag = words[0] << 16 | words[1], words[6] << 16 | words[7]
print(f"{stored} stored,", "nobody handles them" if lag == 0xFFFFFFFF else f"{lag} not handled yet")
