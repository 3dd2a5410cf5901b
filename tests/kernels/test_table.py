import importlib
import inspect

import pytest

from gatewayd.core import state
from gatewayd.model.block import WireOrder, WireType
from kernels import decode_modbus_registers, table, wire
from kernels.table import KERNELS, TABLES, VIEWS, Kernel


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_each_kernel_takes_its_columns_then_its_scalars_then_its_sizes(kernel: Kernel) -> None:
    function = getattr(importlib.import_module(f"kernels.{kernel.module}"), kernel.name)
    parameters = list(inspect.signature(function).parameters)
    assert len(parameters) == len(kernel.columns) + len(kernel.scalars) + len(kernel.sizes)
    named = [name for name, _ in kernel.scalars] + [f"{table}_size" for table in kernel.sizes]
    assert parameters[len(kernel.columns) :] == named
    for column, parameter in zip(kernel.columns, parameters, strict=False):
        assert column.name in parameter or parameter in (column.table, *column.name.split("_")), parameter


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_each_column_stands_in_its_table_or_is_a_view_of_one_that_does(kernel: Kernel) -> None:
    for column in kernel.columns:
        name = f"{column.table}.{column.name}"
        owner = VIEWS[name][0] if name in VIEWS else name
        table, _, cell = owner.partition(".")
        assert cell in dict(TABLES[table])
        assert column.type == (VIEWS[name][1] if name in VIEWS else dict(TABLES[table])[cell])
    assert len({(column.table, column.name) for column in kernel.columns}) == len(kernel.columns)


def test_the_core_and_the_kernels_number_the_checks_alike() -> None:
    names = ("CHECK_RANGE", "CHECK_AGE", "CHECK_RATE", "CHECK_STUCK", "RESPONSE_CELLS")
    assert [getattr(state, name) for name in names] == [getattr(table, name) for name in names]


def test_kernels_and_blocks_number_byte_orders_and_types_alike() -> None:
    assert {name: getattr(wire, name) for name in WireOrder.__members__} == dict(WireOrder.__members__)
    for name in ("BOOL", "UINT16", "INT32", "UINT32", "UINT64", "FLOAT32", "FLOAT64"):
        assert getattr(decode_modbus_registers, f"_{name}") == WireType[name]
