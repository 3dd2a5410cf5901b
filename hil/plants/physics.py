"""The pumping station's physics: a tank fed through a valve and emptied by two pumps. No clocks, no I/O.

Time runs faster than in a real station where waiting would teach nothing: bearings warm in seconds, not hours.
Units: m, m3/h, %, degC, mm/s, bar, A, s.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

TANK_AREA_M2 = 12.0
TANK_HEIGHT_M = 4.0
INLET_FLOW_MAX = 72.0  # m3/h with the valve fully open
VALVE_TRAVEL = 15.0  # % per s
SPEED_RAMP = 25.0  # % per s, the drive's own
SHUT_OFF_HEAD_M = 30.0  # at full speed; goes with speed squared
STATIC_HEAD_M = 3.0  # above the tank's floor
RESISTANCE = 27.0 / 40.0**2  # m per (m3/h)^2, pump and pipe together: 40 m3/h at full speed
BEARING_TIME_S = 9.0
BEARING_LOAD_RISE = 45.0  # K at full speed, sound bearing
BEARING_WEAR_RISE = 250.0  # K at full speed, worn bearing; goes with speed squared
WEAR_TIME_S = 1.0  # a worn bearing starts to shake within this time
TRIP_TEMP = 135.0  # the PLC's own protection, whatever the gateway does


@dataclass(slots=True)
class Pump:
    """A pump on a variable-speed drive. `wear` is where the bearing is heading, `shake` how far it has come."""

    speed_sp: float = 58.0
    run: bool = True
    speed: float = 58.0
    bearing_temp: float = 0.0
    wear: float = 0.0
    shake: float = 0.0
    run_time_s: float = 0.0
    tripped: bool = False

    def flow(self, level: float) -> float:
        """Return m3/h where pump curve and pipe meet; none below the speed that lifts the water at all."""
        lift = SHUT_OFF_HEAD_M * (self.speed / 100.0) ** 2 - max(0.0, STATIC_HEAD_M - level * 0.1)
        return math.sqrt(lift / RESISTANCE) if lift > 0.0 and level > 0.0 else 0.0

    def bearing_target(self, ambient: float) -> float:
        """Return the temperature the bearing would reach at this speed."""
        part = self.speed / 100.0
        return ambient + BEARING_LOAD_RISE * part + BEARING_WEAR_RISE * self.wear * part**2


@dataclass(slots=True)
class Valve:
    """The inlet valve and its actuator."""

    position_sp: float = 60.0
    position: float = 60.0


@dataclass(slots=True)
class Station:
    """The whole plant. `step` advances it; `measure` reads its instruments, noise included.

    Args:
        seed: of the instruments' noise; the same seed and the same steps give the same readings.
    """

    seed: int = 1
    level: float = 2.4
    ambient: float = 20.0
    rain: float = 1.2
    remote: bool = True
    time_s: float = 0.0
    pumps: dict[str, Pump] = field(default_factory=lambda: {"pump_1": Pump(), "pump_2": Pump()})
    valve: Valve = field(default_factory=Valve)
    inlet_flow: float = 0.0
    outlet_flow: float = 0.0
    overflow_m3: float = 0.0
    _noise: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._noise = random.Random(self.seed)
        for pump in self.pumps.values():
            pump.bearing_temp = pump.bearing_target(self.ambient)

    def step(self, dt_s: float) -> None:
        """Advance by `dt_s` seconds, a small step (0.05)."""
        self.time_s += dt_s
        self.ambient = 20.0 + 0.5 * math.sin(self.time_s / 300.0)
        self.valve.position = _towards(
            self.valve.position, _clamp(self.valve.position_sp, 0.0, 100.0), VALVE_TRAVEL * dt_s
        )
        for pump in self.pumps.values():
            self._step_pump(pump, dt_s)
        self.inlet_flow = INLET_FLOW_MAX * self.valve.position / 100.0
        self.outlet_flow = sum(pump.flow(self.level) for pump in self.pumps.values())
        level = self.level + (self.inlet_flow - self.outlet_flow) / 3600.0 * dt_s / TANK_AREA_M2
        self.overflow_m3 += max(0.0, level - TANK_HEIGHT_M) * TANK_AREA_M2
        self.level = _clamp(level, 0.0, TANK_HEIGHT_M)

    def _step_pump(self, pump: Pump, dt_s: float) -> None:
        if pump.bearing_temp >= TRIP_TEMP:
            pump.tripped = True
        elif pump.wear == 0.0 and pump.bearing_temp < TRIP_TEMP / 2:
            pump.tripped = False
        wanted = _clamp(pump.speed_sp, 0.0, 100.0) if pump.run and not pump.tripped else 0.0
        pump.speed = _towards(pump.speed, wanted, SPEED_RAMP * dt_s)
        pump.shake += (pump.wear - pump.shake) * -math.expm1(-dt_s / WEAR_TIME_S)
        pump.bearing_temp += (pump.bearing_target(self.ambient) - pump.bearing_temp) * -math.expm1(
            -dt_s / BEARING_TIME_S
        )
        pump.run_time_s += dt_s if pump.speed > 0.0 else 0.0

    def measure(self) -> dict[str, float]:
        """Return what every instrument shows now, by `asset.member`."""
        gauss = self._noise.gauss
        shown = {
            "tank_1.level": self.level + gauss(0.0, 0.002),
            "tank_1.inlet_flow": max(0.0, self.inlet_flow + gauss(0.0, 0.15)),
            "tank_1.outlet_flow": max(0.0, self.outlet_flow + gauss(0.0, 0.15)),
            "inlet_valve.position_sp": self.valve.position_sp,
            "inlet_valve.position": self.valve.position,
            "inlet_valve.local": 0.0,
            "station.rain": max(0.0, self.rain + gauss(0.0, 0.05)),
            "station.ambient_temp": self.ambient + gauss(0.0, 0.05),
            "station.remote": float(self.remote),
        }
        for name, pump in self.pumps.items():
            shown |= {f"{name}.{member}": value for member, value in self._measure_pump(pump).items()}
        return shown

    def _measure_pump(self, pump: Pump) -> dict[str, float]:
        gauss, part = self._noise.gauss, pump.speed / 100.0
        turning = pump.speed > 0.0
        vibration = 1.4 + 0.8 * part + 8.0 * pump.shake * part + gauss(0.0, 0.05 + 0.1 * pump.shake) if turning else 0.0
        head = SHUT_OFF_HEAD_M * part**2 - RESISTANCE * 0.2 * pump.flow(self.level) ** 2
        return {
            "speed_sp": pump.speed_sp,
            "speed": pump.speed,
            "run": float(pump.run),
            "running": float(turning),
            "tripped": float(pump.tripped),
            "bearing_temp": pump.bearing_temp + gauss(0.0, 0.1),
            "vibration": max(0.0, vibration),
            "current": max(0.0, 4.0 + 26.0 * part**3 + 2.0 * pump.wear * part + gauss(0.0, 0.1)) if turning else 0.0,
            "discharge_pressure": max(0.0, head * 0.0981 + gauss(0.0, 0.005)),
            "run_time": float(int(pump.run_time_s)),
        }


def _towards(now: float, wanted: float, most: float) -> float:
    return now + _clamp(wanted - now, -most, most)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
