SELECT station.name AS station, count(*) AS trips
FROM trip JOIN station ON station.id = trip.from_station
GROUP BY station.id
ORDER BY trips DESC
