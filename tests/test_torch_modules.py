import torch
from torch import nn

from harness.encoders.torch_modules import caller, evaluating


def test_evaluation_mode_ends_where_it_began() -> None:
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)))
    module[1].eval()
    before = [part.training for part in module.modules()]
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == before == [True, True, False, False, False]


def test_cuda_gets_deterministic_full_precision_kernels_for_the_call_alone() -> None:
    seen = []

    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            cudnn = torch.backends.cudnn
            seen.append((cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32, torch.is_grad_enabled()))
            return x

    call = caller(Looks(), torch.device("cuda"), autocast=None)
    call(torch.zeros(1))
    assert seen == [(True, True, False, False)]
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.deterministic
