"""Kernels to one object file for any LLVM target. Needs numba and llvmlite; what it makes needs neither.

numba's own `pycc` builds for the host only, needs numpy at run time and drags in its run-time library. This emitter asks
numba to type, lower and optimise for the target, wraps each kernel in a function of our calling convention
(`kernels.abi`), and lets LLVM write the object. It leans on numba's internals, so numba is pinned exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba.core.codegen
import numba.core.compiler
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from kernels.inlining import compilable
from kernels.table import ERROR_INTERNAL, Kernel

# numba is annotated in part, and not as it behaves.
_compiler: Any = numba.core.compiler
_AOTCodegen: Any = numba.core.codegen.AOTCPUCodegen
types: Any = numba.types

# What this file was written for and tried with; tests/kernels/test_emit.py fails on any other, and says what has moved.
PINNED = {"numba": "0.68.1", "llvmlite": "0.50.0"}

_TYPES = {"f8": types.float64, "f4": types.float32, "i8": types.int64, "i4": types.int32, "u1": types.uint8}
_INT64 = ir.IntType(64)


class Export(NamedTuple):
    """One symbol to emit.

    Attributes:
        symbol: the C name.
        function: the undecorated kernel.
        arguments: in order, a type code of `kernels.table`, with `*` in front for a column.
    """

    symbol: str
    function: Callable[..., int]
    arguments: tuple[str, ...]


def arguments_of(kernel: Kernel) -> tuple[str, ...]:
    """Return the argument types of a kernel of the table, as `Export.arguments` wants them."""
    columns = tuple("*" + column.type for column in kernel.columns)
    return columns + tuple(kind for _, kind in kernel.scalars) + ("i8",) * len(kernel.sizes)


def host_triple() -> str:
    """Return LLVM's name of this machine."""
    return str(llvm.get_default_triple())


class _Codegen(_AOTCodegen):  # type: ignore[misc]  # a base that mypy cannot see
    """numba's ahead-of-time code generator without its JIT engine, for any triple."""

    def __init__(self, name: str, triple: str, cpu: str) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        self._triple = triple
        super().__init__(name, cpu)

    def _create_empty_module(self, name: str) -> ir.Module:
        module = ir.Module(name)
        module.triple = self._triple
        if self._data_layout:
            module.data_layout = self._data_layout
        return module

    def _init(self, _llvm_module: object) -> None:
        options: dict[str, Any] = {"opt": 3}
        self._tm_features = self._customize_tm_features()
        self._customize_tm_options(options)
        self._tm = llvm.Target.from_triple(self._triple).create_target_machine(**options)
        self._engine = None
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)
        self._loopvect, self._opt_level = False, 0


def _flags() -> Any:
    flags = _compiler.Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.nrt = False  # an allocation in a kernel is a compile error
    flags.release_gil = True
    return flags


def _signature(export: Export) -> Any:
    kinds = [types.CPointer(_TYPES[code[1:]]) if code[0] == "*" else _TYPES[code] for code in export.arguments]
    return types.int64(*kinds)


def _load_slot(builder: ir.IRBuilder, slots: ir.Value, index: int, wanted: ir.Type) -> ir.Value:
    slot = builder.gep(slots, [ir.Constant(_INT64, index)])
    return builder.load(builder.bitcast(slot, wanted.as_pointer()))


def _add_entry(module: ir.Module, context: Any, compiled: Any, export: Export) -> None:
    """Add the exported function: slots to arguments, and numba's exception status to ERROR_INTERNAL."""
    described = compiled.fndesc
    wanted = [context.get_value_type(kind) for kind in described.argtypes]
    callee_type = context.call_conv.get_function_type(described.restype, described.argtypes)
    callee = ir.Function(module, callee_type, described.llvm_func_name)
    entry = ir.Function(module, ir.FunctionType(_INT64, [_INT64.as_pointer()]), export.symbol)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    arguments = [_load_slot(builder, entry.args[0], i, kind) for i, kind in enumerate(wanted)]
    status, result = context.call_conv.call_function(builder, callee, described.restype, described.argtypes, arguments)
    builder.ret(builder.select(status.is_ok, result, ir.Constant(_INT64, ERROR_INTERNAL)))


def _add_constant(module: ir.Module, symbol: str, value: int | bytes) -> None:
    if isinstance(value, bytes):
        constant = ir.Constant(ir.ArrayType(ir.IntType(8), len(value)), bytearray(value))
    else:
        constant = ir.Constant(_INT64, value)
    exported = ir.GlobalVariable(module, constant.type, symbol)
    exported.global_constant = True
    exported.initializer = constant


def emit(
    exports: Iterable[Export],
    *,
    triple: str,
    cpu: str = "",
    constants: dict[str, int | bytes] | None = None,
    progress: Callable[[str], None] = lambda symbol: None,
) -> bytes:
    """Compile kernels and return an object file.

    Args:
        exports: the kernels.
        triple: LLVM target, e.g. `aarch64-unknown-linux-gnu`.
        cpu: LLVM processor name; empty is the architecture's baseline.
        constants: further data symbols, an int64 or bytes each.
        progress: called with each symbol before it is compiled.

    Raises:
        numba.core.errors.NumbaError: a kernel does not type, or allocates.
    """
    with global_compiler_lock:
        return _emit(exports, triple, cpu, constants or {}, progress)


def _emit(
    exports: Iterable[Export],
    triple: str,
    cpu: str,
    constants: dict[str, int | bytes],
    progress: Callable[[str], None],
) -> bytes:
    cpu_target.target_context.refresh()
    cpu_target.typing_context.refresh()
    generator = _Codegen("gwkernels", triple, cpu)
    context = cpu_target.target_context.subtarget(_internal_codegen=generator, aot_mode=True)
    library = generator.create_library("gwkernels")
    entries = library.create_ir_module("entries")
    kept = set(constants)
    for export in exports:
        progress(export.symbol)
        signature = _signature(export)
        compiled = _compiler.compile_extra(
            cpu_target.typing_context,
            context,
            compilable(export.function),
            signature.args,
            signature.return_type,
            _flags(),
            locals={},
            library=library,
        )
        library.get_function(compiled.fndesc.llvm_func_name).linkage = "linkonce_odr"  # inlined, then dropped
        _add_entry(entries, context, compiled, export)
        kept.add(export.symbol)
    for symbol, value in constants.items():
        _add_constant(entries, symbol, value)
    library.add_ir_module(entries)
    library.finalize()
    for function in library.get_defined_functions():
        if function.name not in kept and function.linkage not in (llvm.Linkage.private, llvm.Linkage.internal):
            function.visibility = "hidden"
    return bytes(library.emit_native_object())
