# SPDX-License-Identifier: Apache-2.0
"""Action-conditioned models: V-JEPA 2-AC, and its retrained predictor of jepa-wms."""

from __future__ import annotations

from types import MappingProxyType

from vjepa_planner.catalog.encoders import HUB_TRAP, META, MIT_NOTE, REPOSITORY
from vjepa_planner.catalog.entry import CatalogEntry, RemoteFile

# DROID's Cartesian position is taken to be of the flange, link 8; Meta does not say.
_EE_FRAME = 'fr3_link8'
_EE_TRAP = (
    "states are DROID's Cartesian position; of which frame is not documented, it is taken to be "
    f'the flange ({_EE_FRAME}): check on your arm'
)
_HUGGING_FACE = 'https://huggingface.co/facebook/jepa-wms'

WORLD_MODELS = (
    CatalogEntry(
        name='vjepa2-ac-vitg',
        title='V-JEPA 2-AC: ViT-g/16 encoder and action-conditioned predictor, 256 px',
        task='encode, plan',
        architecture='ViT-g/16, width 1408, 40 blocks, 22 heads; predictor width 1024, 24 blocks, '
        '16 heads',
        encoder_parameters=1_012_173_952,
        predictor_parameters=305_220_992,
        image_size=256,
        licence='MIT (repository)',
        licence_note=MIT_NOTE,
        paper='2506.09985',
        page=REPOSITORY,
        card='vjepa2-ac.md',
        files=(
            RemoteFile(
                name='vjepa2-ac-vitg.pt',
                url=f'{META}/vjepa2-ac-vitg.pt',
                size=11_760_743_310,
                sha256='0b5e3c4bf77a473cd8c61d32fbd87b28cdbba043fb3b8267f3b8bcfb1d5b9e6b',
                source='measured by independent users and published in their repositories, not by '
                'Meta',
            ),
        ),
        # The paper's robot experiments (section 4.2); the momenta, which it does not give, stay
        # those of the released code, which are the planner's defaults.
        settings=MappingProxyType(
            {
                'crop': 'squash',
                'ee_frame': _EE_FRAME,
                'planner': {
                    'name': 'cem',
                    'horizon': 1,
                    'num_samples': 800,
                    'num_iterations': 10,
                    'num_elites': 10,
                    'max_translation': 0.075,
                },
            }
        ),
        traps=(
            'its encoder is not the published ViT-g (cosine per tensor 0.9965 to 1, says '
            'jepa.cpp): take both networks from this file',
            'trained with a bug in the rollout loss, says jepa-wms: do not trust predictions of '
            'several steps; the robots of the paper planned one',
            "training saw the largest centred part of at most 1.35:1, squashed (crop 'squash'); "
            "the official notebook takes the centred square (crop 'square')",
            _EE_TRAP,
            '5.3 of the 11.8 GB are read; the rest is a second encoder and optimiser state',
            HUB_TRAP,
        ),
    ),
    CatalogEntry(
        name='vjepa2-ac-droid',
        title='V-JEPA 2-AC predictor without state token, retrained by jepa-wms, 256 px',
        task='plan',
        architecture='predictor width 1024, 24 blocks, 16 heads, for the embeddings of ViT-g/16',
        encoder_parameters=0,
        predictor_parameters=305_205_632,
        image_size=256,
        licence='CC-BY-NC-4.0',
        licence_note='LICENSE of facebookresearch/jepa-wms and its Hugging Face page: no '
        'commercial use, attribution required',
        paper='2512.24497',
        page='https://github.com/facebookresearch/jepa-wms',
        card='jepa-wms.md',
        files=(
            RemoteFile(
                name='vjepa2_ac_droid.pth.tar',
                url=f'{_HUGGING_FACE}/resolve/9b9c41ef249466630dbf1a20e78391865d07b3b9/'
                'vjepa2_ac_droid.pth.tar',
                size=3_662_844_455,
                sha256='c08425152bf3eee07641654511666c63b1111734432890883989ad2d9b3ba3a6',
                source='LFS entry of facebook/jepa-wms, commit 20758e3',
            ),
        ),
        # configs/evals/simu_env_planning/droid/vj2ac of jepa-wms, as far as this planner goes.
        settings=MappingProxyType(
            {
                'crop': 'square',
                'ee_frame': _EE_FRAME,
                'planner': {
                    'name': 'cem',
                    'horizon': 3,
                    'num_samples': 300,
                    'num_iterations': 15,
                    'num_elites': 10,
                    'max_translation': 0.1,
                    'momentum_mean': 0.0,
                    'momentum_std': 0.0,
                    'momentum_mean_gripper': 0.0,
                    'momentum_std_gripper': 0.0,
                },
            }
        ),
        traps=(
            'the file holds the predictor and its optimiser state only: the encoder is entry '
            '`encoder` of vitg.pt',
            'no state token: the predictor does not read the state of the robot',
            'jepa-wms also searches rotations and takes the squared distance as energy; the '
            'planner here does neither',
            _EE_TRAP,
        ),
        needs=('vjepa2-vitg',),
    ),
)
