# mpmath makes its functions at run time: nothing of it can be checked.
from typing import Any

mp: Any

def __getattr__(name: str) -> Any: ...
