import gc

from fastapi import FastAPI


async def test_loaded_objects_are_excluded_from_garbage_collection(app: FastAPI) -> None:
    gc.unfreeze()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0
