# SPDX-License-Identifier: Apache-2.0
"""Encoders with the predictor of their pre-training: V-JEPA 2, its Hugging Face copies, 2.1.

Parameters are counted on the architecture. Sizes and checksums name their source.
"""

from __future__ import annotations

from vjepa_planner.catalog.entry import (
    CatalogEntry,
    RemoteFile,
    training_file_size,
    weights_size,
)
from vjepa_planner.model_directory import CONFIG_FILE

META = 'https://dl.fbaipublicfiles.com/vjepa2'
REPOSITORY = 'https://github.com/facebookresearch/vjepa2'
MIT_NOTE = (
    'LICENSE of facebookresearch/vjepa2, whose README links the file; the file itself carries no '
    'licence, so ask Meta before it goes into a product'
)
HUB_TRAP = (
    'torch.hub of facebookresearch/vjepa2 has asked http://localhost:8300 for weights since March '
    '2026; the URL here is the one that its README links'
)
_ESTIMATE = 'estimate: float32 encoder twice, predictor, two Adam moments of encoder and predictor'
_REPORTED = 'measured by independent users and published in their repositories, not by Meta'

_COPIES_TRAP = (
    'the file holds the encoder twice, as `encoder` and as its moving average `target_encoder`: '
    'the official hub of August 2025 took the first, as the Hugging Face copies do, that of March '
    '2026 takes the second'
)
_HF_TRAPS = (
    'not the encoder under the V-JEPA 2-AC predictor: those weights differ slightly',
    'transformers takes the positions from crop_size in config.json, not from the input: images '
    'of another size are misplaced there, though not here',
)
_G_NAMES_TRAP = 'the files of ViT-g and ViT-G differ in the case of one letter only'
_TRAPS_21 = (
    'no V-JEPA 2 in new clothes: other rotary positions, two patchifiers, four output norms; '
    'code for V-JEPA 2 cannot run these weights',
    'no action-conditioned predictor of V-JEPA 2.1 has been released: it cannot plan',
    HUB_TRAP,
)

_L = ('ViT-L/16', 'width 1024, 24 blocks, 16 heads', 303_885_312)
_H = ('ViT-H/16', 'width 1280, 32 blocks, 16 heads', 631_648_000)
_G = ('ViT-g/16', 'width 1408, 40 blocks, 22 heads', 1_012_173_952)


def _encoder(
    name: str,
    model: tuple[str, str, int],
    predictor: int,
    file: str,
    size: int | None = None,
    sha256: str | None = None,
    image_size: int = 256,
) -> CatalogEntry:
    label, sizes, parameters = model
    estimate = None if size else training_file_size(parameters, predictor)
    return CatalogEntry(
        name=name,
        title=f'V-JEPA 2 {label} encoder and masked predictor, {image_size} px',
        task='encode',
        architecture=f'{label}, {sizes}',
        encoder_parameters=parameters,
        predictor_parameters=predictor,
        image_size=image_size,
        licence='MIT (repository)',
        licence_note=MIT_NOTE,
        paper='2506.09985',
        page=REPOSITORY,
        card='vjepa2.md',
        files=(
            RemoteFile(
                name=file,
                url=f'{META}/{file}',
                size=size,
                estimated_size=estimate,
                sha256=sha256,
                source=_REPORTED if size else _ESTIMATE,
            ),
        ),
        traps=(_COPIES_TRAP, HUB_TRAP),
    )


def _hugging_face(
    name: str,
    model: tuple[str, str, int],
    predictor: int,
    repository: str,
    revision: str,
    licence: tuple[str, str],
    size: int | None = None,
    sha256: str | None = None,
    image_size: int = 256,
) -> CatalogEntry:
    label, sizes, parameters = model
    page = f'https://huggingface.co/{repository}'
    base = f'{page}/resolve/{revision}'
    weights = RemoteFile(
        name='model.safetensors',
        url=f'{base}/model.safetensors',
        size=size,
        estimated_size=None if size else weights_size(parameters + predictor),
        sha256=sha256,
        source=f'LFS entry of {repository} at {revision[:7]}, as quoted by its users'
        if size
        else 'estimate: float32 encoder and predictor',
    )
    return CatalogEntry(
        name=name,
        title=f'V-JEPA 2 {label} encoder and masked predictor, {image_size} px, Hugging Face copy',
        task='encode',
        architecture=f'{label}, {sizes}',
        encoder_parameters=parameters,
        predictor_parameters=predictor,
        image_size=image_size,
        licence=licence[0],
        licence_note=licence[1],
        paper='2506.09985',
        page=page,
        card='vjepa2.md',
        files=(weights, RemoteFile(name=CONFIG_FILE, url=f'{base}/{CONFIG_FILE}')),
        traps=_HF_TRAPS,
    )


def _encoder_21(
    name: str,
    model: tuple[str, str, int],
    predictor: int,
    file: str,
    size: int | None = None,
    sha256: str | None = None,
    traps: tuple[str, ...] = (),
) -> CatalogEntry:
    label, sizes, parameters = model
    estimate = None if size else training_file_size(parameters, predictor)
    return CatalogEntry(
        name=name,
        title=f'V-JEPA 2.1 {label} encoder and masked predictor, 384 px',
        task='encode',
        architecture=f'{label}, {sizes}',
        encoder_parameters=parameters,
        predictor_parameters=predictor,
        image_size=384,
        licence='MIT (repository)',
        licence_note=MIT_NOTE,
        paper='2603.14482',
        page=REPOSITORY,
        card='vjepa2.1.md',
        files=(
            RemoteFile(
                name=file,
                url=f'{META}/{file}',
                size=size,
                estimated_size=estimate,
                sha256=sha256,
                source=_REPORTED if size else _ESTIMATE,
            ),
        ),
        traps=(*traps, *_TRAPS_21),
    )


_APACHE = ('Apache-2.0', 'stated on its Hugging Face page')
_UNCONFIRMED = 'as derived models quote it; its Hugging Face page was not read: read it first'

ENCODERS = (
    _encoder(
        'vjepa2-vitl',
        _L,
        22_086_016,
        'vitl.pt',
        5_127_726_842,
        '5346856ec9df69487fe72a25bf2632aaa8112df33fb67708e3f7374edc1f7012',
    ),
    _encoder('vjepa2-vith', _H, 22_282_880, 'vith.pt'),
    _encoder('vjepa2-vitg', _G, 22_381_312, 'vitg.pt'),
    _encoder('vjepa2-vitg-384', _G, 22_381_312, 'vitg-384.pt', image_size=384),
    _hugging_face(
        'vjepa2-vitl-hf',
        _L,
        22_086_016,
        'facebook/vjepa2-vitl-fpc64-256',
        'b3c1679b7c34d3255ef3547f27c7b226aefab26f',
        ('MIT (unconfirmed)', _UNCONFIRMED),
        1_303_947_864,
        '25466aef85727d16546c6cf8c99f12fcfad9cbca8225d45f23685e2e025b786b',
    ),
    _hugging_face(
        'vjepa2-vith-hf',
        _H,
        22_282_880,
        'facebook/vjepa2-vith-fpc64-256',
        'b5eac8703e3efdc1547fbb6ddfbeb133dc0bdee5',
        ('Apache-2.0 (unconfirmed)', f'{_UNCONFIRMED}; one user says MIT'),
    ),
    _hugging_face(
        'vjepa2-vitg-hf',
        _G,
        22_381_312,
        'facebook/vjepa2-vitg-fpc64-256',
        '875c192b7b704b87d1e1d99345769632dd5f739a',
        _APACHE,
        4_138_311_608,
        'f205e77aa2ade168db6b09d4bc420d156141f64ab964278a9c181a2bdf2a232b',
    ),
    _hugging_face(
        'vjepa2-vitg-384-hf',
        _G,
        22_381_312,
        'facebook/vjepa2-vitg-fpc64-384',
        'main',
        _APACHE,
        image_size=384,
    ),
)

ENCODERS_21 = (
    _encoder_21(
        'vjepa2.1-vitb',
        ('ViT-B/16', 'width 768, 12 blocks, 12 heads', 86_833_152),
        22_874_752,
        'vjepa2_1_vitb_dist_vitG_384.pt',
        1_664_223_428,
        '848a77c33cc9e6649ed2119c9bea1e2c569bcdab9539ff3e7c02ccc2959ddf4d',
    ),
    _encoder_21(
        'vjepa2.1-vitl',
        (*_L[:2], 304_680_960),
        22_973_056,
        'vjepa2_1_vitl_dist_vitG_384.pt',
        5_151_198_524,
        '7ea9b7cb4a75d10644a8a8d42cff9e177b10dca8f02173f0eaf2b0bed82838c6',
    ),
    _encoder_21(
        'vjepa2.1-vitg',
        (*_G[:2], 1_013_267_968),
        55_400_704,
        'vjepa2_1_vitg_384.pt',
        traps=(_G_NAMES_TRAP,),
    ),
    _encoder_21(
        'vjepa2.1-vitgigantic',
        ('ViT-G/16', 'width 1664, 48 blocks, 26 heads', 1_845_216_768),
        59_433_472,
        'vjepa2_1_vitG_384.pt',
        30_238_058_912,
        traps=(_G_NAMES_TRAP,),
    ),
)
