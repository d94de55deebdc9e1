# Filled in with the package: find_package(upconv), pkg-config.
