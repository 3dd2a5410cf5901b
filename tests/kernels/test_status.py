from gatewayd.model import quality
from kernels import status


def test_kernels_and_the_daemon_mean_the_same_by_each_status_code() -> None:
    codes = {name: code for name, code in vars(status).items() if name.isupper() and name not in ("NAN", "STATUS_MAX")}
    assert codes == {name: getattr(quality, name) for name in codes}
    assert len(codes) >= 10
