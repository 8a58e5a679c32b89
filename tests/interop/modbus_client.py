"""A Modbus client that is not ours: what pymodbus (3.x) says, against `tenfour serve --modbus`.

    modbus_client.py PORT        prints one word a step, and fails at the first thing that is not as it should be
"""

import sys

from pymodbus.client import ModbusTcpClient


def registers(response):
    assert not response.isError(), response
    return response.registers


def main():
    client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]), timeout=10, retries=0)
    assert client.connect()

    assert not client.write_register(40, 1234, device_id=7).isError()
    assert not client.write_registers(41, [1, 2, 65535], device_id=7).isError()
    assert registers(client.read_holding_registers(39, count=6, device_id=7)) == [0, 1234, 1, 2, 65535, 0]
    assert registers(client.read_holding_registers(40, count=1, device_id=8)) == [0]
    print("registers")

    both = client.readwrite_registers(read_address=40, read_count=3, write_address=41, values=[9], device_id=7)
    assert registers(both) == [1234, 9, 2]
    print("both")

    assert not client.write_coil(3, True, device_id=7).isError()
    assert not client.write_coils(4, [True, False, True], device_id=7).isError()
    coils = client.read_coils(2, count=6, device_id=7)
    assert not coils.isError() and coils.bits[:6] == [False, True, True, False, True, False], coils
    print("coils")

    inputs = registers(client.read_input_registers(0, count=30, device_id=7))
    assert inputs[0] == 1 and inputs[1] == 1, inputs
    assert inputs[10] << 16 | inputs[11] == 5, inputs  # writes of this unit
    assert client.read_discrete_inputs(0, count=1, device_id=7).bits[0]
    print("inputs")

    for response, exception in [
        (client.read_input_registers(30, count=1, device_id=7), 2),
        (client.read_discrete_inputs(0, count=10, device_id=7), 2),
        (client.mask_write_register(address=1, and_mask=1, or_mask=1, device_id=7), 1),
    ]:
        assert response.isError() and response.exception_code == exception, response
    print("exceptions")
    client.close()


main()
