# Read by cpack first: it gives files in packages this time.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  set(ENV{SOURCE_DATE_EPOCH} ${CPACK_DISKALLOC_RELEASED})
endif()
