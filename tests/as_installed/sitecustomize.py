"""Let commands of tests run as users have them: without packages that only development brings.

odc-geo imports dask and rasterio boto3 where they are there, which takes each command a third of its start.
"""

import sys

for name in ("boto3", "dask"):
    sys.modules[name] = None  # an import of it fails, and a look for it finds nothing
