import json
import os
import subprocess
import sys

import pytest

from flanlite.training.collectives import traffic

PROGRAM = """HloModule step

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body (carried: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %two = s32[] constant(STEP)
  %counter = s32[] get-tuple-element(%carried), index=0
  %rows = bf16[8,16]{1,0} get-tuple-element(%carried), index=1
  %next = s32[] add(%counter, %two)
  %permuted = (bf16[8,16]{1,0}, bf16[8,16]{1,0}, u32[], u32[]) collective-permute-start(%rows), source_target_pairs={{0,1},{1,0}}
  %done = bf16[8,16]{1,0} collective-permute-done(%permuted)
  ROOT %both = (s32[], bf16[8,16]) tuple(%next, %done)
}

%condition (carried: (s32[], bf16[8,16])) -> pred[] {
  %limit = s32[] constant(6)
  %counter = s32[] get-tuple-element(%carried), index=0
  ROOT %goes_on = pred[] compare(%counter, %limit), direction=LT
}

%all-reduce-scatter.3 (input: f32[8,16]) -> f32[2,16] {
  %whole = f32[8,16]{1,0} all-reduce(%input), replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %mine = f32[2,16]{1,0} dynamic-slice(%whole, %i, %j), dynamic_slice_sizes={2,16}
}

%spread (input: f32[4,16]) -> f32[8,16] {
  ROOT %all = f32[8,16]{1,0} all-gather(%input), channel_id=7, replica_groups={{0,1},{2,3}}, dimensions={0}
}

ENTRY %main (a: f32[8,16], b: (s32[], bf16[8,16])) -> f32[8,16] {
  %a = f32[8,16]{1,0} parameter(0)
  %reduced = (f32[8,16]{1,0}, f32[4]{0}) all-reduce(%a, %c), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %gathered = f32[8,16]{1,0} all-gather(%d), replica_groups=mesh['x'=2,'y'=4] {'x'}, dimensions={0}
  %scattered = f32[2,16]{1,0} fusion(%a), kind=kCustom, calls=%all-reduce-scatter.3
  %started = f32[8,16]{1,0} fusion(%d), kind=kCustom, calls=%spread
  %finished = f32[8,16]{1,0} fusion(%d), kind=kCustom, calls=%spread
  %first = f32[4,16]{1,0} reduce-scatter(%a), channel_id=1, replica_groups={{0,2},{1,3}}, to_apply=%add
  %second = f32[2,16]{1,0} reduce-scatter(%first), channel_id=1, replica_groups={{0,1},{2,3}}, to_apply=%add
  ROOT %loop = (s32[], bf16[8,16]) while(%b), condition=%condition, body=%body
}
"""


@pytest.mark.parametrize('step, trips', [(1, 6), (2, 3)])
def test_each_kind_is_counted_as_a_ring_would_move_it(step, trips):
    found = traffic(PROGRAM.replace('STEP', str(step)))
    whole = 8 * 16 * 4
    assert found['all-reduce'] == (1, 2 * (whole + 16) * 3 / 4)
    assert found['all-gather'] == (2, 2 * whole / 2)  # the one that two fusions share counts once
    # In two stages, which share a channel, it sends as much as in one.
    assert found['reduce-scatter'] == (3, 2 * whole * 3 / 4)
    assert found['collective-permute'] == (trips, trips * 8 * 16 * 2)


def test_a_compiled_loop_of_sums_is_counted_as_often_as_it_runs():
    script = """
import json, jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from flanlite.training.collectives import traffic
mesh = jax.make_mesh((4,), ('model',), axis_types=(jax.sharding.AxisType.Auto,))
put = lambda *spec: NamedSharding(mesh, P(*spec))
def step(x, weights):
    layer = lambda x, w: (jax.lax.with_sharding_constraint(jnp.tanh(x @ w), put(None, 'model')), None)
    return jax.lax.scan(layer, x, weights)[0]
shapes = jax.ShapeDtypeStruct((2, 8), 'float32'), jax.ShapeDtypeStruct((5, 8, 8), 'float32')
jitted = jax.jit(step, in_shardings=(put(None, 'model'), put(None, 'model', None)), out_shardings=put(None, 'model'))
print(json.dumps(traffic(jitted.lower(*shapes).compile().as_text())))
"""
    environment = os.environ | {
        'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
        'JAX_PLATFORMS': 'cpu',
    }
    done = subprocess.run(
        [sys.executable, '-c', script], env=environment, capture_output=True, text=True, check=True
    )
    counted = json.loads(done.stdout)
    partial = 2 * 8 * 4  # of each product, which every device has a part of
    assert {kind: count for kind, (count, _) in counted.items()} == {'all-reduce': 5}
    assert counted['all-reduce'][1] == 5 * 2 * partial * 3 / 4
