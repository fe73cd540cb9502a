//! asyncio vocabulary on a work-stealing engine.
