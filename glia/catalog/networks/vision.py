"""Networks for pictures."""

from math import inf
from typing import Any

from glia.catalog.entry import Entry

_ALEXNET = "Krizhevsky 2014, arXiv 1404.5997; Krizhevsky et al. 2012, NIPS 25"
_VGG = "Simonyan and Zisserman 2015, arXiv 1409.1556"
_RESNET = "He et al. 2016, arXiv 1512.03385, table 1"
_RESNET_SMALL = "He et al. 2016, arXiv 1512.03385, section 4.2"
_MOBILENET = "Howard et al. 2017, arXiv 1704.04861"
_MOBILENET_V2 = "Sandler et al. 2018, arXiv 1801.04381"
_MOBILENET_V3 = "Howard et al. 2019, arXiv 1905.02244"


def _entry(
    name: str,
    factory: str,
    summary: str,
    paper: str,
    parameters: int,
    *,
    inputs: tuple[int, int, int] = (3, 224, 224),
    outputs: int = 1000,
    answers: str = "",
    **size: Any,
) -> Entry:
    """A size of a family: what its factory is called with. answers: see the head of the table."""
    module, _, family = factory.partition(":")
    published = {"inputs": inputs, "outputs": outputs, "task": "classify", "parameters": parameters}
    facts = {"inputs": ("image",), "rows": (0, inf), "family": family, "size": size, "published": published}
    return Entry(name, f"glia.models.{factory}", summary, paper, facts | ({"answers": answers} if answers else {}))


def _cifar(layers: int, parameters: int) -> Entry:
    summary = f"a residual network of {layers} layers for 32 x 32 images"
    form: dict[str, Any] = {"inputs": (3, 32, 32), "outputs": 10, "blocks": (layers - 2) // 6}
    return _entry(f"resnet{layers}", "resnet_small:resnet_small", summary, _RESNET_SMALL, parameters, **form)


def _resnet(layers: int, blocks: tuple[int, ...], parameters: int) -> Entry:
    summary = f"a residual network of {layers} layers for photographs, with published weights"
    form: dict[str, Any] = {"blocks": blocks, "bottleneck": layers >= 50}
    return _entry(f"resnet{layers}", "resnet:resnet", summary, _RESNET, parameters, **form)


def _vgg(layers: int, blocks: tuple[int, ...], plain: int, normed: int) -> tuple[Entry, Entry]:
    summary = f"{layers} layers of 3 x 3 convolutions and dense ones: large, and a common trunk"
    one = _entry(f"vgg{layers}", "vgg:vgg", summary, _VGG, plain, blocks=blocks)
    summary = f"vgg{layers} with batch norm, which trains faster"
    return one, _entry(f"vgg{layers}-bn", "vgg:vgg", summary, _VGG, normed, blocks=blocks, batch_norm=True)


ENTRIES = (
    _entry(
        "lenet5",
        "lenet:lenet5",
        "two convolutions and three dense layers: small grey images, quickly",
        "LeCun et al. 1998, Proc. IEEE 86(11), figure 2",
        61_706,
        inputs=(1, 32, 32),
        outputs=10,
    ),
    Entry(
        "resnet8",
        "glia.models.resnet_small:resnet_small",
        "the smallest residual network: small sets of small images",
        _RESNET_SMALL,
        {"inputs": ("image",), "rows": (0, inf), "family": "resnet_small", "size": {"blocks": 1}},
    ),
    _cifar(20, 269_722),
    _cifar(32, 464_154),
    _cifar(44, 658_586),
    _cifar(56, 853_018),
    _cifar(110, 1_727_962),
    Entry(
        "resnet9",
        "glia.models.resnet_small:resnet9",
        "wide and shallow: most accuracy for a few minutes on small colour images",
        "Page 2018, How to train your ResNet",
        {"inputs": ("image",), "rows": (0, inf), "family": "resnet9"},
    ),
    _resnet(18, (2, 2, 2, 2), 11_689_512),
    _resnet(34, (3, 4, 6, 3), 21_797_672),
    _resnet(50, (3, 4, 6, 3), 25_557_032),
    _resnet(101, (3, 4, 23, 3), 44_549_160),
    _resnet(152, (3, 8, 36, 3), 60_192_808),
    _entry(
        "alexnet", "alexnet:alexnet", "the network that began deep vision: 63 pixels and more", _ALEXNET, 61_100_840
    ),
    *_vgg(11, (1, 1, 2, 2, 2), 132_863_336, 132_868_840),
    *_vgg(13, (2, 2, 2, 2, 2), 133_047_848, 133_053_736),
    *_vgg(16, (2, 2, 3, 3, 3), 138_357_544, 138_365_992),
    *_vgg(19, (2, 2, 4, 4, 4), 143_667_240, 143_678_248),
    _entry(
        "mobilenet-v1",
        "mobilenet_v1:mobilenet_v1",
        "convolutions split in depthwise and pointwise: small and quick",
        _MOBILENET,
        4_231_976,
    ),
    _entry(
        "mobilenet-v2",
        "mobilenet_v2:mobilenet_v2",
        "inverted residuals with linear bottlenecks: small, quick and a common trunk",
        _MOBILENET_V2,
        3_504_872,
    ),
    _entry(
        "mobilenet-v3-small",
        "mobilenet_v3:mobilenet_v3",
        "found by search for small devices, with squeeze and excite; the smaller form",
        _MOBILENET_V3,
        2_542_856,
        form="small",
    ),
    _entry(
        "mobilenet-v3-large",
        "mobilenet_v3:mobilenet_v3",
        "found by search for small devices, with squeeze and excite; the larger form",
        _MOBILENET_V3,
        5_483_032,
        form="large",
    ),
    _entry(
        "unet",
        "unet:unet",
        "logits for every pixel: segmentation, in loops of your own",
        "Ronneberger et al. 2015, arXiv 1505.04597",
        31_030_658,
        inputs=(1, 572, 572),
        outputs=2,
        answers="pixels",
    ),
)

ALIASES = {"lenet": "lenet5", "mobilenet": "mobilenet-v1"}
