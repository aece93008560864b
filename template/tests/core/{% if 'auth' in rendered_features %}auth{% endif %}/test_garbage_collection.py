import gc

from fastapi import FastAPI


async def test_collections_skip_what_was_loaded_before_the_start(app: FastAPI) -> None:
    gc.unfreeze()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0
